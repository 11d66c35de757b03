"""compose/agent.example.yml on top of either stack: a team's own program finds engines and services, and no more."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.compose import images
from tests.compose.running import AFTER, BEFORE, Compose, clean_environment, said
from tests.conftest import REPO

pytestmark = pytest.mark.compose

OVER = "compose/agent.example.yml"
OURS = {"AGENT_IMAGE": "our/agent:1.0.0"}


def argv(file: str, folder: Path, *words: str, **settings: str) -> list[str]:
    env_file = folder / "agent.env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return ["docker", "compose", "-p", "cutover", "--env-file", str(env_file), "-f", file, "-f", OVER, *words]


ASK = """
import json, os, pathlib, urllib.request
def asked(url, body=None, key=""):
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    return json.load(urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60))
key = pathlib.Path(os.environ["VLLM_API_KEY_FILE"]).read_text().strip()
print(asked(os.environ["VLLM_URL"] + "/v1/models", key=key)["data"][0]["id"])
print(asked(os.environ["OLLAMA_URL"] + "/api/tags")["models"][0]["name"])
print(asked(os.environ["RAG_URL"] + "/v1/search", {"query": "tape", "mode": "lexical"})["mode"])
"""


@pytest.fixture(params=[BEFORE, AFTER])
def found(request: pytest.FixtureRequest, compose_command: None, tmp_path: Path) -> dict[str, Any]:
    """Every service of the stack with the agent."""
    words = ("--profile", "agent", "config", "--format", "json")
    services: dict[str, Any] = json.loads(said(argv(request.param, tmp_path, *words, **OURS)))["services"]
    return services


def test_it_is_there_when_it_is_asked_for(compose_command: None, tmp_path: Path) -> None:
    plain = said(argv(AFTER, tmp_path, "config", "--services", **OURS)).split()
    asked = said(argv(AFTER, tmp_path, "--profile", "agent", "config", "--services", **OURS)).split()

    assert set(asked) - set(plain) == {"agent"}


def test_without_an_image_compose_says_what_is_missing(compose_command: None, tmp_path: Path) -> None:
    done = subprocess.run(
        argv(AFTER, tmp_path, "config"), cwd=REPO, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "name the image of your agent" in done.stderr


def test_its_addresses_are_those_of_the_stack(found: dict[str, Any]) -> None:
    """The engines under the names that the services have, the services at the ports on which they listen."""
    told, rag = found["agent"]["environment"], found["rag"]["environment"]

    assert {name: told[name] for name in ("VLLM_URL", "VLLM_API_KEY_FILE", "OLLAMA_URL")} == {
        name: rag[name] for name in ("VLLM_URL", "VLLM_API_KEY_FILE", "OLLAMA_URL")
    }
    for name in ("rag", "notes", "ner"):
        assert told[f"{name.upper()}_URL"] == f"http://{name}:{found[name]['environment']['UVICORN_PORT']}"
        assert "engines" in found[name]["networks"]


def test_it_is_locked_down_and_gets_one_secret(found: dict[str, Any]) -> None:
    agent = found["agent"]

    assert set(agent["networks"]) == {"engines"} and not agent.get("ports") and not agent.get("volumes")
    assert [secret["source"] for secret in agent["secrets"]] == ["vllm_api_key"]
    assert agent["read_only"] is True and agent["cap_drop"] == ["ALL"] and agent["user"] == "10001:10001"
    assert agent["security_opt"] == ["no-new-privileges:true"]
    assert {"memory", "pids"} <= agent["deploy"]["resources"]["limits"].keys()
    assert not [name for name, service in found.items() if "agent" in service.get("depends_on", {})]


def test_it_reaches_engines_and_services(stack: Compose) -> None:
    """For real: an image in its place asks each at the address that it was told, with the key that it was given."""
    stack.set(AGENT_IMAGE=f"{images.TAG}/services")
    run = ("--profile", "agent", "run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "agent", "-c", ASK)

    assert stack("-f", OVER, *run).split() == ["smollm2-135m", "smollm2-135m:latest", "lexical"]
