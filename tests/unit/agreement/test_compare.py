"""What three clients say of one engine is told apart: what a definition explains, what remains, what is noise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.agreement import compare, direct, others, vllm_client
from services.agreement.marks import OURS, THEIRS, AgreementError, Client, Marks

ONE = Marks(first_chunk_s=0.1, first_token_s=0.2, last_token_s=1.0, last_chunk_s=1.1, tokens=9, end_s=1.2)


def late(by_s: float, marks: Marks = ONE) -> Marks:
    return Marks(
        first_chunk_s=marks.first_chunk_s + by_s,
        first_token_s=marks.first_token_s + by_s,
        last_token_s=marks.last_token_s + by_s,
        last_chunk_s=marks.last_chunk_s + by_s,
        tokens=marks.tokens,
        end_s=None if marks.end_s is None else marks.end_s + by_s,
    )


def blocks(*, locust_s: float = 0.0, vllm_s: float = 0.0) -> dict[Client, list[list[Marks]]]:
    """Three rounds on a machine that is slower each time; the asyncio client differs from itself by up to 20 ms."""
    slow = (0.0, 0.5, 1.0)
    by_vllm = replace(ONE, end_s=None)
    return {
        Client.ASYNCIO: [[late(s)] * 3 for s in slow],
        Client.AGAIN: [[late(s + n)] * 3 for s, n in zip(slow, (0.01, -0.02, 0.0), strict=True)],
        Client.LOCUST: [[late(s + locust_s)] * 3 for s in slow],
        Client.VLLM: [[late(s + vllm_s, by_vllm)] * 3 for s in slow],
    }


def found(metric: str, client: Client, **shifts: float) -> compare.Difference:
    return next(d for d in compare.differences(blocks(**shifts)) if (d.metric, d.client) == (metric, client))


def test_the_definitions_are_those_of_each_school() -> None:
    assert {name: measure(ONE) for name, measure in OURS.items()} == {"ttft": 0.2, "tpot": 0.1, "e2e": 1.2}
    theirs = {name: measure(ONE) for name, measure in THEIRS.items()}
    assert theirs == {"ttft": 0.1, "tpot": pytest.approx(0.125), "e2e": 1.1}
    assert OURS["tpot"](replace(ONE, tokens=7)) is None


def test_what_a_definition_explains_is_taken_out_and_told() -> None:
    """vLLM's TTFT is 100 ms shorter here because of the role frame alone; by one definition nothing is left."""
    d = found("ttft", Client.VLLM)
    assert (d.reported_s, d.same_definition_s) == (pytest.approx(-0.1), pytest.approx(0.0))
    assert d.agrees
    assert "by definition -100.0 ms" in d.reasons[0]


def test_rounds_are_paired_so_that_a_slow_spell_is_no_difference() -> None:
    """The rounds differ by a second, the clients by 15 ms, which one client differs by from itself as well."""
    d = found("e2e", Client.LOCUST, locust_s=0.015)
    assert (d.reported_s, d.floor_s) == (pytest.approx(0.015), pytest.approx(0.02))
    assert d.agrees
    assert "+15.0 ms remain, within the 20.0 ms" in d.reasons[-1]


@pytest.mark.parametrize("shift", [{"locust_s": 0.03}, {"vllm_s": -0.03}])
def test_what_no_definition_explains_is_not_called_agreement(shift: dict[str, float]) -> None:
    client = Client.LOCUST if "locust_s" in shift else Client.VLLM
    d = found("ttft", client, **shift)
    assert not d.agrees
    assert "remain beyond the floor" in d.reasons[-1]


def test_vllms_arrays_become_marks_and_its_errors_are_told() -> None:
    result: dict[str, Any] = {"ttfts": [0.1], "itls": [[0.1, 0.4, 0.4]], "latencies": [1.0], "output_lens": [9]}
    assert others.vllm_marks(result | {"errors": [""]}) == [
        Marks(first_chunk_s=0.1, first_token_s=0.2, last_token_s=1.0, last_chunk_s=1.0, tokens=9)
    ]
    with pytest.raises(AgreementError, match="vllm bench: ConnectionRefusedError"):
        others.vllm_marks(result | {"errors": ["Traceback\n  a line\nConnectionRefusedError: no\n"]})


def test_vllms_command_line_caps_the_answer_for_every_engine() -> None:
    """Its own `max_completion_tokens` is not read by Ollama (ollama#7125)."""
    order = {"url": "http://127.0.0.1:1", "model": "m", "prompts": ["a"], "tokens": 5, "in_flight": 2}
    words = vllm_client.arguments(order)
    assert json.loads(words[words.index("--extra-body") + 1]) == {"max_tokens": 5}


async def test_the_asyncio_client_tells_a_role_frame_from_a_token() -> None:
    """And asks every prompt once."""
    seen = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(request.content)["messages"][0]["content"][0]["text"])
        chunks = [{"delta": {"role": "assistant", "content": ""}}, {"delta": {"content": "Hi"}}, {"delta": {}}]
        frames = [json.dumps({"choices": [c]}) for c in chunks]
        frames += [json.dumps({"choices": [], "usage": {"completion_tokens": 9}}), "[DONE]"]
        body = "".join(f"data: {f}\n\n" for f in frames)
        return httpx2.Response(200, text=body, headers={"content-type": "text/event-stream"})

    target = direct.Target(url="http://engine", model="m", prompts=["a", "b", "c"], tokens=9, in_flight=2)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        marks = await direct.block(http, target)
    assert sorted(seen) == ["a", "b", "c"]
    for m in marks:
        assert m.tokens == 9
        assert m.end_s is not None
        assert m.first_chunk_s < m.first_token_s == m.last_token_s < m.last_chunk_s < m.end_s


async def test_an_engine_that_refuses_is_named() -> None:
    target = direct.Target(url="http://engine", model="m", prompts=["a"], tokens=9, in_flight=1)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(404, text="no such model"))
    async with httpx2.AsyncClient(transport=transport) as http:
        with pytest.raises(AgreementError, match=r"asyncio: http://engine/v1/chat/completions answered 404"):
            await direct.block(http, target)


def test_a_vllm_that_cannot_start_is_named(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no vllm here >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(AgreementError, match="no vllm here"), others.vllm_client(python, {}):
        pass
