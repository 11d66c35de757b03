"""The doctor before engines and services that are ill, or are something else: findings, never a traceback."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from services.migration import doctor as room
from services.migration import kept_findings
from services.migration.doctor import Wanted
from services.migration.doctor_wire import Overrides
from services.migration.errors import EngineUnreachable
from services.migration.findings import Finding, Level, failed
from tests.unit.migration.house import TOKEN, House

HTML = httpx2.Response(200, text="<html>It works!</html>")
PATHS = (
    "ollama /api/version", "ollama /api/tags", "ollama /api/ps", "ollama /api/show", "ollama /api/chat",
    "ollama /v1/chat/completions", "vllm /version", "vllm /v1/models", "vllm /metrics", "vllm /tokenize",
    "vllm /detokenize", "vllm /v1/chat/completions", "service /v1/summarize",
)  # fmt: skip
NONSENSE: dict[str, httpx2.Response] = {
    "HTML": HTML,
    "an empty body": httpx2.Response(200, text=""),
    "a list": httpx2.Response(200, json=[1, 2]),
    "an empty object": httpx2.Response(200, json={}),
    "nothing but null": httpx2.Response(200, json=dict.fromkeys(("models", "data", "choices", "usage", "message"))),
    "wrong types": httpx2.Response(
        200,
        json={
            "version": 7, "models": "none", "data": {"id": 1}, "choices": 5, "usage": [1], "message": "hi",
            "count": "x",
            "details": [], "model_info": 3, "parameters": {}, "template": 1, "prompt_eval_count": True, "tokens": "ab",
            "load_duration": "1s", "capabilities": 4, "embeddings": [["a"]], "llm": 5, "error": [1],
        },
    ),
    "lists of wrong things": httpx2.Response(
        200, json={"models": [1, None], "data": ["x"], "choices": [None], "tokens": [1], "token_strs": 5}
    ),
    "wrong things inside": httpx2.Response(
        200,
        json={
            "choices": [{"message": "hello", "logprobs": 5, "finish_reason": 7}],
            "models": [{"name": 5, "size": "big", "size_vram": None, "context_length": "4k", "expires_at": 5}],
            "data": [{"id": ["x"], "root": 5, "max_model_len": "4096"}],
            "message": {"content": 5, "tool_calls": "x"}, "tokens": [[], {}],
        },
    ),
    "an error without words": httpx2.Response(500, json={"error": None}),
    "an error page": httpx2.Response(502, text="<html>Bad Gateway</html>"),
    "half a document": httpx2.Response(200, text='{"models": ['),
    "a deep document": httpx2.Response(200, text="[" * 100_000),
}  # fmt: skip


async def examine(house: House, **wanted: Any) -> dict[str, Finding]:
    asked = Wanted(**wanted)
    found = await room.doctor(house.settings, "notes", house.recipe, TOKEN, wanted=asked, seams=house.seams)
    assert all(isinstance(f.ollama, str) and isinstance(f.vllm, str) for f in found)
    return {f.check: f for f in found}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_nonsense_from_one_path_ends_in_findings(house: House, path: str, nonsense: str) -> None:
    """Whatever it is, the doctor comes to an end and does not call it healthy in every check."""
    house.answers[path] = lambda _: NONSENSE[nonsense]
    found = await examine(house)
    assert "versions" in found


@pytest.mark.parametrize("engine", ["ollama", "vllm"])
async def test_another_program_on_the_port_fails_and_is_shown(house: House, engine: str) -> None:
    house.answers |= {path: lambda _: HTML for path in PATHS if path.startswith(engine)}
    found = await examine(house)
    assert found["generates"].level is Level.FAIL
    assert "It works" in getattr(found["answers readable"], engine)
    assert failed(list(found.values()))


@pytest.mark.parametrize("engine", ["ollama", "vllm"])
async def test_an_engine_that_says_nothing_is_given_up(house: House, engine: str) -> None:
    """Each silence costs the whole limit, so two are enough."""

    def silent(_: dict[str, Any]) -> httpx2.Response:
        raise httpx2.ReadTimeout("silent")

    house.answers |= {path: silent for path in PATHS if path.startswith(engine)}
    found = await examine(house)
    assert found["generates"].level is Level.FAIL
    assert "gave no answer to 2 calls" in getattr(found["answers readable"], engine)


async def test_a_connection_that_breaks_off_is_told(house: House) -> None:
    def broken(_: dict[str, Any]) -> httpx2.Response:
        raise httpx2.RemoteProtocolError("gone")

    house.answers["vllm /v1/chat/completions"] = broken
    assert "broke off (RemoteProtocolError)" in (await examine(house))["generates"].vllm


async def test_a_service_that_is_down_fails_and_the_engines_are_still_compared(house: House) -> None:
    house.service_down = True
    found = await examine(house)
    assert found["service"].level is Level.FAIL
    assert "cutover up" in found["service"].next
    assert found["prompt tokens, several turns"].level is Level.PASS
    assert failed(kept_findings.saved(house.state, "notes").findings)


async def test_engines_alone_are_compared_without_the_service_and_nothing_is_kept(house: House) -> None:
    house.service_down = True
    found = await examine(house, engines_only=True)
    assert found["service"].level is Level.WARN
    assert not failed(list(found.values()))
    assert kept_findings.saved(house.state, "notes").findings == ()


async def test_other_engines_are_asked_where_they_are_named(house: House) -> None:
    """The house knows engines by their ports, so both are the same two, the other way round in name only."""
    overrides = Overrides(vllm_url="http://elsewhere:8500", vllm_model="other")
    found = await examine(house, engines_only=True, overrides=overrides)
    assert "--served-model-name other" in found["model names"].next
    assert {b["model"] for k, b in house.asked if k == "vllm /tokenize"} <= {"other"}


async def test_an_engine_that_dies_in_the_middle_is_named(house: House) -> None:
    def died(_: dict[str, Any]) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    house.answers["vllm /tokenize"] = died
    with pytest.raises(EngineUnreachable, match="vLLM does not answer"):
        await examine(house)


async def test_leaving_the_command_leaves_the_doctor(house: House) -> None:
    def cancelled(_: dict[str, Any]) -> httpx2.Response:
        raise asyncio.CancelledError

    house.answers["ollama /api/chat"] = cancelled
    with pytest.raises(asyncio.CancelledError):
        await examine(house)
