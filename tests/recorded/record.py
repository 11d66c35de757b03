"""`python -m tests.recorded.record`: asks the real engines and writes down what they answer, for the tests to replay.

With `VLLM_URL` and `OLLAMA_URL` set those engines are asked; they must serve smollm2-135m as `cutover up` does. Without
them both are brought up on free ports in a home of their own, as `tests/conftest.py` does, and stopped at the end
(`CUTOVER_ENGINES_DIR` says where they are installed). `tests/recorded/asked.py` lists the requests; a row that times
out is left out and named. It writes `tests/recorded/vllm.json` and `ollama.json`: for each row the request, the status,
the headers that an adapter reads, and the body as it came, with ids, dates and durations replaced by fixed ones. Look
at the difference before you commit it: it is what changed between two versions of an engine.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from services import settings as settings_room
from services.settings import Settings
from services.stack import local
from tests.conftest import REPO, Quiet, free_ports
from tests.recorded.asked import ASKED_OF_OLLAMA, ASKED_OF_VLLM, REPEAT, Asked

HERE = Path(__file__).parent
HEADERS = ("content-type", "retry-after")
SHOWN_COMPONENTS = 3
SCRUBBED = (
    (re.compile(r'("id": ?)"(chatcmpl|chatcmpl-tool|cmpl|modelperm|call)-[^"]*"'), r'\1"\2-0"'),
    (re.compile(r'("created": ?)\d+'), r"\g<1>0"),
    (re.compile(r'("(?:created_at|expires_at|modified_at)": ?)"[^"]*"'), r'\1"1970-01-01T00:00:00Z"'),
    (re.compile(r'("(?:total|load|prompt_eval|eval)_duration": ?)\d+'), r"\g<1>1"),
    (re.compile(r'("root": ?)"[^"]*"'), r'\1"weights"'),
)
"""What differs between two runs, or tells of the machine."""


def main() -> None:
    with _engines() as settings:
        _record("vllm", settings.vllm_url, "/version", ASKED_OF_VLLM)
        _record("ollama", settings.ollama_url, "/api/version", ASKED_OF_OLLAMA)


@contextlib.contextmanager
def _engines() -> Iterator[Settings]:
    if os.environ.get("VLLM_URL") and os.environ.get("OLLAMA_URL"):
        yield settings_room.load(os.environ)
        return
    vllm_port, ollama_port = free_ports(2)
    with tempfile.TemporaryDirectory() as home:
        env = {
            **os.environ,
            "CUTOVER_HOME": home,
            "CUTOVER_ENGINES_DIR": os.environ.get("CUTOVER_ENGINES_DIR") or str(REPO / ".cutover/engines"),
            "CUTOVER_VLLM_PORT": str(vllm_port),
            "CUTOVER_OLLAMA_PORT": str(ollama_port),
        }
        settings = settings_room.load(env)
        local.up(settings, Quiet(), env=env, services=())
        try:
            yield settings
        finally:
            local.down(settings, Quiet())


def _record(engine: str, url: str, version_path: str, asked: Sequence[Asked]) -> None:
    rows = []
    with httpx2.Client(base_url=url, trust_env=False, timeout=httpx2.Timeout(10.0)) as http:
        version = http.get(version_path).json()["version"]
        for one in asked:
            try:
                rows.append(_row(http, one))
            except httpx2.TimeoutException:
                sys.stdout.write(f"{engine}: no answer within {one.limit_s:g} s, left out: {one.name}\n")
    text = json.dumps({"engine": engine, "version": version, "rows": rows}, indent=1, ensure_ascii=False)
    (HERE / f"{engine}.json").write_text(text + "\n")
    sys.stdout.write(f"{engine} {version}: {len(rows)} of {len(asked)} rows\n")


def _row(http: httpx2.Client, asked: Asked) -> dict[str, Any]:
    body = asked.body if isinstance(asked.body, str) else json.dumps(_expanded(asked.body))
    content = None if asked.body is None else body
    headers = {"content-type": "application/json"}
    answer = http.request(asked.method, asked.path, content=content, headers=headers, timeout=asked.limit_s)
    text, vectors = _abbreviated(_scrubbed(answer.text))
    row = {
        "name": asked.name,
        "request": {"method": asked.method, "path": asked.path, "body": asked.body},
        "status": answer.status_code,
        "headers": {name: answer.headers[name] for name in HEADERS if name in answer.headers},
        "body": text,
    }
    return {**row, "vectors": vectors} if vectors else row


def _expanded(body: Any) -> Any:
    match body:
        case dict() if REPEAT in body:
            text, times = body[REPEAT]
            return text * times
        case dict():
            return {key: _expanded(value) for key, value in body.items()}
        case list():
            return [_expanded(value) for value in body]
        case _:
            return body


def _scrubbed(text: str) -> str:
    for pattern, instead in SCRUBBED:
        text = pattern.sub(instead, text)
    return text


def _abbreviated(text: str) -> tuple[str, list[dict[str, float]]]:
    """The body with the first components of each vector alone, and what the whole ones measured."""
    if '"embeddings"' not in text:
        return text, []
    said = json.loads(text)
    vectors = [{"length": len(row), "norm": round(math.hypot(*row), 6)} for row in said["embeddings"]]
    said["embeddings"] = [[round(x, 6) for x in row[:SHOWN_COMPONENTS]] for row in said["embeddings"]]
    return json.dumps(said), vectors


if __name__ == "__main__":
    main()
