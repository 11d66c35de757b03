"""Models put into a running Ollama: pulled where the registry has no file, and why not when it cannot be."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services.settings import load
from services.stack import ollama_models
from services.stack.errors import StackError
from tests.unit.stack.conftest import Recorder


@dataclass
class Ollama:
    """Answers like Ollama; `pull` is what it says while it pulls."""

    url: str = ""
    pull: list[dict[str, str]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    """A server that listens."""
    here = Ollama()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            here.asked.append((self.path, order["model"]))
            lines = here.pull if self.path == "/api/pull" else [{"eval_count": 1}]
            body = "".join(json.dumps(line) + "\n" for line in lines).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    here.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


Provide = Callable[[], list[str]]


@pytest.fixture
def provide(ollama: Ollama, progress: Recorder, tmp_path: object) -> Provide:
    env = {"OLLAMA_URL": ollama.url, "CUTOVER_HOME": str(tmp_path), "LLM_MODEL": "qwen2.5-7b"}
    return lambda: ollama_models.provide(load(env), progress, env=env)


def test_a_model_without_a_file_is_pulled_and_loaded(ollama: Ollama, provide: Provide, progress: Recorder) -> None:
    """Once for all three services; each step of the pull is told once."""
    ollama.pull = [{"status": s} for s in ("pulling manifest", "pulling 1234", "pulling 1234", "success")]

    assert provide() == ["qwen2.5:7b"]
    assert ollama.asked == [("/api/pull", "qwen2.5:7b"), ("/api/chat", "qwen2.5:7b")]
    assert [detail for kind, _, detail in progress.lines if kind == "note"] == [
        f"qwen2.5:7b: {said}" for said in ("pulling manifest", "pulling 1234", "success")
    ]


@pytest.mark.parametrize(
    ("pull", "why"),
    [
        ([{"error": "pull model manifest: file does not exist"}], "file does not exist; .*CUTOVER_OFFLINE"),
        ([{"status": "pulling manifest"}], "ended the pull of .* with 'pulling manifest'"),
    ],
)
def test_a_pull_that_fails_says_why(pull: list[dict[str, str]], why: str, ollama: Ollama, provide: Provide) -> None:
    """And nothing is asked of a model that is not there."""
    ollama.pull = pull

    with pytest.raises(StackError, match=why):
        provide()
    assert [path for path, _ in ollama.asked] == ["/api/pull"]
