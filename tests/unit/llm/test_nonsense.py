"""Nonsense of every kind through the real adapters, whole and in streams: always an error of ours."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from services.llm.errors import DeadError, LLMError
from tests.recorded.played import Played, answered, recording
from tests.unit.llm.conftest import ask

ROWS = {engine: recording(engine) for engine in ("vllm", "ollama")}


NONSENSE = [
    "null",
    "true",
    "7",
    '"text"',
    "[]",
    "[1]",
    "{}",
    '{"error": {"message": "m"}}',
    '{"error": [1]}',
    "{not json",
]
NONSENSE += [
    "<html>",
    "",
    "[" * 100_000,
    '{"message": 7}',
    '{"message": {"content": 7}}',
    '{"message": {}, "done": "x"}',
]
NONSENSE += ['{"message": {"role": "assistant", "tool_calls": [7]}, "done": true}']
NONSENSE += ['{"message": {"role": "assistant"}, "done": true, "done_reason": "odd"}']


@pytest.mark.parametrize("body", NONSENSE, ids=lambda text: text[:40] or "nothing")
@pytest.mark.parametrize("engine", ["vllm", "ollama"])
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_nonsense_of_any_kind_is_our_own_error(engine: str, body: str, status: int) -> None:
    """Under any status, whole; and nonsense under 200 is never taken for an answer."""
    row = replace(ROWS[engine]["whole answer"], status=status, body=body.encode())
    with pytest.raises(LLMError) as caught:
        await answered(row, ask())
    assert status != 200 or type(caught.value) is DeadError


@pytest.mark.parametrize("body", NONSENSE, ids=lambda text: text[:40] or "nothing")
@pytest.mark.parametrize("engine", ["vllm", "ollama"])
async def test_nonsense_in_a_stream_never_finishes_it(engine: str, body: str) -> None:
    """An error of ours, or an end without a reason, which the client takes for a cut."""
    framed = f"data: {body}\n\ndata: [DONE]\n\n" if engine == "vllm" else f"{body}\n"
    row = replace(ROWS[engine]["stream"], body=framed.encode())
    async with contextlib.aclosing(Played(row, engine).provider()) as provider:
        with contextlib.suppress(LLMError):
            assert [chunk.finish async for chunk in provider.stream(ask())] in ([], [None])
