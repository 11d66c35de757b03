"""What the exporter asks the engines, and what it makes of their answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from services.monitor import engines, exporter
from services.monitor.engines import Seen
from services.settings import load

PS = {"models": [{"name": "smollm2-135m:latest", "size": 300, "size_vram": 200}, {"name": "mine", "size": 7}]}
ANSWERS = {"/health": b"", "/version": b'{"version": "0.32.0"}', "/api/version": b'{"version": "0.9.3"}'}
ANSWERS["/api/ps"] = json.dumps(PS).encode()


class Engine(BaseHTTPRequestHandler):
    """Both engines at one address; `ill` says 503 to everything."""

    ill = False

    def do_GET(self) -> None:
        body = ANSWERS.get(self.path)
        self.send_response(200 if body is not None and not self.ill else 503)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_both_engines_are_told_on_the_page(url: str, tmp_path: Path) -> None:
    """Up, how long it took, versions, and who holds memory."""
    settings = load({"CUTOVER_HOME": str(tmp_path), "VLLM_URL": url, "OLLAMA_URL": url})
    page = generate_latest(exporter.registry(settings)).decode()

    assert 'llm_provider_up{provider="vllm"} 1.0' in page
    assert 'llm_build_info{ollama_version="0.9.3",version="0.1.0",vllm_version="0.32.0"} 1.0' in page
    assert 'llm_ollama_loaded_model_bytes{kind="vram",model="smollm2-135m"} 200.0' in page
    assert 'llm_ollama_loaded_model_bytes{kind="total",model="other"} 7.0' in page


@pytest.mark.parametrize("ill", [True, False])
def test_an_engine_that_is_ill_or_gone_is_down_and_no_error(
    url: str, ill: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "ill", ill)
    gone = "http://127.0.0.1:1"
    seen = asyncio.run(engines.look(load({"VLLM_URL": url if ill else gone, "OLLAMA_URL": url if ill else gone})))

    assert {name: (engine.up, engine.version) for name, engine in seen.items()} == {
        "vllm": (False, ""),
        "ollama": (False, ""),
    }


@pytest.mark.parametrize(
    "told", [None, 5, [], {}, {"models": None}, {"models": {"a": 1}}, {"models": ["x"]}, {"models": [{"size": "big"}]}]
)
def test_strange_lists_of_models_hold_no_memory(told: object) -> None:
    """Whatever `/api/ps` says, the scrape goes on."""
    assert sum(engines.loaded(told).values()) == 0


@pytest.mark.parametrize("nonsense", [b"5", b"<html>", b"[" * 100_000, b'{"version": ["0.9"]}'])
def test_another_program_on_the_port_is_no_ollama(url: str, nonsense: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it take the rest of the page away."""
    monkeypatch.setitem(ANSWERS, "/api/version", nonsense)
    monkeypatch.setitem(ANSWERS, "/version", nonsense)
    seen = asyncio.run(engines.look(load({"VLLM_URL": url, "OLLAMA_URL": url})))

    assert {name: (engine.up, engine.version) for name, engine in seen.items()} == {
        "vllm": (True, ""),
        "ollama": (False, ""),
    }


def test_memory_is_there_at_zero() -> None:
    """A model that was unloaded shows as none, and does not vanish."""
    down = Seen(up=False, took_s=0.1)
    shown = engines.samples({"vllm": down, "ollama": down}, version="1")

    sizes = [s for s in shown if s.name == "llm_ollama_loaded_model_bytes"]
    assert {s.labels for s in sizes} >= {("smollm2-135m", "total"), ("other", "vram")}
    assert {s.value for s in sizes} == {0}
