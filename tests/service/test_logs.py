"""What a service writes on standard error: JSON lines under a request id, and nothing of what people or keys say."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.llm.routing import OLLAMA
from services.notes import app as notes_app
from services.settings import Settings, load
from services.web import logs
from services.web.request_id import RequestId
from tests.fakes.engine import FakeEngine, Fault, serving
from tests.service.scripted import ScriptedClient, served

PLANTED = "Wanda Example, +49 170 1234567"
KEYS = {
    "ADMIN_TOKEN": "admin-0123456789",
    "VLLM_API_KEY": 'key-"quoted"-98765',
    "ANTHROPIC_API_KEY": "paid-5555-4444",
    "CUTOVER_API_KEY": "cutover-7777-8888",
}
LOGGERS = ("", "cutover", "uvicorn", "uvicorn.error", "openai", "httpx", "httpx2")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The process-wide loggers as they were before."""
    found = [logging.getLogger(name) for name in LOGGERS]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in found]
    yield
    for logger, (handlers, level, propagate) in zip(found, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def settings_of(home: Path, **more: str) -> Settings:
    return load({"CUTOVER_HOME": str(home), **KEYS, **more})


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was written so far; fails on a line that is no JSON object."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
async def engines() -> AsyncIterator[dict[str, str]]:
    """Two fakes that answer with what was planted; vLLM answers 500 first, so that there is a fallback to tell of."""
    vllm, ollama = FakeEngine(words=(PLANTED,)), FakeEngine(words=(PLANTED,))
    vllm.default = Fault.BROKEN_500
    async with serving(vllm.app()) as vllm_url, serving(ollama.app()) as ollama_url:
        yield {"VLLM_URL": vllm_url, "OLLAMA_URL": ollama_url, "LLM_PROVIDER": "vllm"}


def test_a_record_is_one_line_however_often_it_is_set_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wide events keep their own fields; a message of words becomes an event of its first word."""
    logs.install(settings_of(tmp_path))
    logs.install(settings_of(tmp_path))
    logging.getLogger("cutover.llm").info("%s", '{"event": "llm.request", "request_id": "r-1"}')
    logging.getLogger("cutover.llm.link").warning("link.probe_failed vllm\nsecond line")
    found = lines(capsys)

    assert [(f["event"], f.get("request_id"), f["level"]) for f in found] == [
        ("llm.request", "r-1", "info"),
        ("link.probe_failed", None, "warning"),
    ]
    assert found[1]["text"] == "vllm\nsecond line"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_level_is_the_least_that_is_written(level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.install(settings_of(tmp_path, LOG_LEVEL=level))
    for name in ("debug", "info", "warning", "error"):
        logging.getLogger("cutover.x").log(getattr(logging, name.upper()), "a.b")

    names = ["debug", "info", "warning", "error"]
    assert [f["level"] for f in lines(capsys)] == names[names.index(level) :]


def test_text_is_one_line_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.install(settings_of(tmp_path, LOG_FORMAT="text"))
    logging.getLogger("cutover.llm").info("budget.unusable a\nb")
    written = capsys.readouterr().err

    assert written.count("\n") == 1
    assert "info budget.unusable" in written


def test_no_key_gets_out_whoever_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither bare nor inside JSON, where a quote is escaped; and not in an exception either."""
    logs.install(settings_of(tmp_path, LOG_PROMPTS="1"))
    for key in KEYS.values():
        logging.getLogger("cutover.web").warning("got.key %s", key)
        logging.getLogger("somebody").error("%s", json.dumps({"event": "x", "header": f"Bearer {key}"}))
        try:
            raise RuntimeError(key)
        except RuntimeError:
            logging.getLogger("uvicorn.error").exception("failed")
    written = capsys.readouterr().err

    assert [key for key in KEYS.values() if key in written or json.dumps(key)[1:-1] in written] == []
    assert written.count(logs.BLOT) == 3 * len(KEYS)


async def test_a_request_leaves_its_event_and_none_of_its_words(
    tmp_path: Path, engines: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Prompt, answer and key stay out, though libraries were told to log all they know."""
    for name in ("openai", "httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    settings = settings_of(tmp_path, LOG_LEVEL="debug", **engines)
    logs.install(settings)
    async with served(notes_app.build(settings), ScriptedClient()) as notes:
        headers = {"X-Request-Id": "r-7", "X-Sticky-Key": PLANTED}
        response = await notes.http.post("/v1/summarize", json={"text": PLANTED}, headers=headers)
    written = capsys.readouterr().err
    events = [e for e in map(json.loads, written.splitlines()) if e["event"] == "llm.request"]

    assert response.status_code == 200
    assert "Wanda" not in written and "1234567" not in written
    assert [e["request_id"] for e in events] == ["r-7"]
    assert [(a["provider"], a["error"]) for a in events[0]["attempts"]] == [("vllm", "http_5xx"), (OLLAMA, None)]


async def test_an_unforeseen_error_is_told_by_its_place_under_the_request_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception's text may quote anybody. uvicorn logs it after the request has left our middleware."""
    logs.install(settings_of(tmp_path))

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError(PLANTED)

    await serve_and_log(broken, "r-9")
    (found,) = lines(capsys)

    assert found["request_id"] == "r-9"
    assert found["exception"]["chain"] == [{"type": "KeyError"}]
    assert any(place.endswith(" broken") for place in found["exception"]["at"])
    assert "Wanda" not in json.dumps(found)


async def serve_and_log(app: Any, request_id: str) -> None:
    """What a server does around our outermost middleware: it logs what comes out of it."""
    scope = {"type": "http", "headers": [(b"x-request-id", request_id.encode())]}
    try:
        await RequestId(app)(scope, None, None)  # type: ignore[arg-type]
    except KeyError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")


async def test_log_prompts_is_loud(tmp_path: Path, engines: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A warning at the start, and in every line while it is on; the words are where one looks for them."""
    settings = settings_of(tmp_path, LOG_PROMPTS="1", **engines)
    logs.install(settings)
    async with served(notes_app.build(settings), ScriptedClient()) as notes:
        await notes.http.post("/v1/summarize", json={"text": PLANTED})
    found = lines(capsys)
    (event,) = [e for e in found if e["event"] == "llm.request"]

    assert found[0]["event"] == "logs.prompts_on"
    assert all("LOG_PROMPTS=1" in line["warning"] for line in found)
    assert event["level"] == "warning"
    assert PLANTED in json.dumps(event["prompt"], ensure_ascii=False)
    assert event["answer"] == PLANTED


@pytest.mark.parametrize(("name", "value"), [("LOG_LEVEL", "loud"), ("LOG_FORMAT", "xml"), ("LOG_PROMPTS", "yes")])
def test_a_setting_that_cannot_be_meant_is_told(name: str, value: str) -> None:
    """Above all: LOG_PROMPTS is not turned on by a guess."""
    with pytest.raises(Exception, match=name):
        load({name: value})
