"""Search by meaning in containers: a vLLM embeds in the engines' network, RAG finds with it, and without it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.compose import images
from tests.compose.conftest import UP_S
from tests.compose.running import Compose
from tests.compose.test_stack import LOOK, until

pytestmark = pytest.mark.compose

UP = ("up", "--detach", "--wait", "--wait-timeout")
EMBED = """
import json, os, pathlib, urllib.request
key = pathlib.Path(os.environ["VLLM_API_KEY_FILE"]).read_text().strip()
body = json.dumps({"model": "minilm", "input": ["Where does the tape library stand?"]}).encode()
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
asked = urllib.request.Request(os.environ["EMBED_VLLM_URL"] + "/v1/embeddings", body, headers)
[row] = json.load(urllib.request.urlopen(asked, timeout=60))["data"]
print(len(row["embedding"]), round(sum(x * x for x in row["embedding"]), 3))
"""


@pytest.fixture(scope="module")
def embedding(stack: Compose, capfd_disabled: images.Say) -> Iterator[Compose]:
    """The shared stack's RAG with the profile, and nobody but its vLLM to embed; as it was again afterwards.

    Nothing else is brought up: Compose 2.26 would make the vLLM that chats anew, as it waits for the other one.
    """
    before = stack.env_file.read_text()
    stack.set(COMPOSE_PROFILES="embeddings", EMBED_MODEL="minilm", EMBED_PROVIDERS="vllm")
    try:
        began = time.monotonic()
        stack(*UP, str(UP_S), "rag", "vllm-embed", limit_s=UP_S + 60)
        capfd_disabled(f"profile embeddings, up --wait: {time.monotonic() - began:.0f} s")
        yield stack
    finally:
        stack("rm", "--stop", "--force", "vllm-embed", check=False)
        stack.env_file.write_text(before)  # a setting that is there and empty is another one to Compose
        stack(*UP, "300", "rag")


def searched(stack: Compose, query: str, mode: str = "dense") -> dict[str, object]:
    """What RAG found, how, and why not otherwise."""
    found: dict[str, object] = stack.post("rag", "/v1/search", {"query": query, "k": 1, "mode": mode}).json()
    return found


def says(stack: Compose) -> str:
    """What RAG's /readyz says of search."""
    answer = httpx2.get(f"{stack.settings().service_url('rag')}/readyz", trust_env=False, timeout=30)
    return str(answer.json()["uses"]["search"])


def test_a_text_becomes_a_vector_of_the_space(embedding: Compose) -> None:
    """Asked from a service's container, by the address and the key that it has; no port of the host leads there."""
    assert embedding("exec", "-T", "rag", "python", "-c", EMBED).split() == ["384", "1.0"]

    found = embedding.containers()["vllm-embed"]
    assert not any(found["NetworkSettings"]["Ports"].values())
    told = embedding("exec", "-T", "vllm-embed", "python3", "-c", LOOK).split()
    assert told == ["10001", "0" * 16, "0" * 16, "1", "EROFS"]


def test_rag_finds_by_meaning_with_it_and_goes_on_without(embedding: Compose) -> None:
    """A vehicle is a car. When the vLLM stops words are left; with `in_process` behind it, so is the meaning."""
    embedding.post("rag", "/v1/documents", {"title": "Fleet", "text": "The car is parked behind rack B."})
    until(lambda: by_meaning(embedding) == ["Fleet"], "its job has embedded the document", 300)
    assert says(embedding).startswith("meaning and words: minilm@")

    embedding("stop", "vllm-embed")
    left = searched(embedding, "vehicle")
    assert (left["mode"], left["hits"]) == ("lexical", []) and left["reason"]

    embedding.set(EMBED_PROVIDERS="vllm,in_process", COMPOSE_PROFILES="")
    embedding(*UP, "300", "rag")
    assert by_meaning(embedding) == ["Fleet"]


def by_meaning(stack: Compose) -> list[str] | None:
    """Titles of what is found for a word that no document has; None where it was not looked for by meaning."""
    found = searched(stack, "vehicle")
    hits = found["hits"]
    assert isinstance(hits, list)
    return [hit["title"] for hit in hits] if found["mode"] == "dense" else None
