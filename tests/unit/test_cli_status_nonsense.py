"""`cutover status` where other programs listen on the ports, or half of a page comes: a status, and a problem."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.cli_status import collect
from services.cli_status_show import status
from services.llm.rollout import FILE_NAME
from services.settings import Settings, load

ADDRESSES = ("CUTOVER_RAG_URL", "CUTOVER_NOTES_URL", "CUTOVER_NER_URL", "VLLM_URL", "OLLAMA_URL")
PROVIDER = {"breaker": "closed", "in_flight": 0, "queued": 0, "last_error": None}
ACCOUNT = {"pin": "auto", "fallbacks_5m": 0, "rollout_problem": None, "providers": {"ollama": PROVIDER}}
DEEP = "[" * 100_000
BODIES = {
    "HTML": "<html>It works!</html>",
    "a number": "5",
    "deep": DEEP,
    "texts among models": '{"models": ["x"], "data": ["x"], "version": 7}',
    "objects for lists": '{"models": {"a": 1}, "data": {"a": 1}}',
    "names of odd types": '{"models": [{"name": ["x"]}], "data": [{"id": {}}]}',
    "an empty object": "{}",
}
HALF_ACCOUNTS = {
    "no pin": {**ACCOUNT, "pin": None},
    "a list of providers": {**ACCOUNT, "providers": ["ollama"]},
    "a provider without counts": {**ACCOUNT, "providers": {"ollama": {"breaker": "open", "last_error": "x"}}},
    "a count that is none": {**ACCOUNT, "providers": {"ollama": {**PROVIDER, "in_flight": "many"}}},
    "no fallbacks": {k: v for k, v in ACCOUNT.items() if k != "fallbacks_5m"},
}


class Other(BaseHTTPRequestHandler):
    """A program that says the same to everything."""

    says = ""

    def do_GET(self) -> None:
        body = self.says.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a stack on whose ports one other program listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    addresses = dict.fromkeys(ADDRESSES, f"http://127.0.0.1:{server.server_port}")
    found = load({"CUTOVER_HOME": str(tmp_path), "ADMIN_TOKEN": "t", **addresses})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def told(settings: Settings, says: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(Other, "says", says)
    document = asyncio.run(collect(settings))
    status(document)
    return document


@pytest.mark.parametrize("body", BODIES)
def test_another_program_is_no_engine_and_no_service(
    body: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = told(settings, BODIES[body], monkeypatch)

    assert {n: (e["up"], e["version"], e["model"]) for n, e in document["engines"].items()} == dict.fromkeys(
        ("ollama", "vllm"), (False, None, None)
    )
    assert [row["up"] for row in document["services"].values()] == [False] * 3
    json.dumps(document)


@pytest.mark.parametrize("account", HALF_ACCOUNTS)
def test_half_an_account_is_a_problem_and_no_service(
    account: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = told(settings, json.dumps(HALF_ACCOUNTS[account]), monkeypatch)

    assert [row["up"] for row in document["services"].values()] == [False] * 3
    assert any(p.startswith("ner: http") and "another program" in p for p in document["problems"])


def test_a_whole_account_is_a_service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(settings, json.dumps(ACCOUNT), monkeypatch)["services"]["ner"]["up"]


@pytest.mark.parametrize("path", [FILE_NAME, "verdicts/notes.json"])
def test_files_without_end_are_problems(path: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    file = settings.state_dir / path
    file.parent.mkdir(parents=True)
    file.write_text(DEEP)

    assert told(settings, "{}", monkeypatch)["problems"]


def test_a_histogram_without_providers_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "llm_attempt_time_to_first_chunk_seconds"
    page = f'# TYPE {name} histogram\n{name}_bucket{{le="1"}} 3\n'

    assert any("/metrics cannot be read" in p for p in told(settings, page, monkeypatch)["problems"])
