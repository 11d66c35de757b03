"""Recorded requests: what a file may hold, and what they show on both arms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.migration import doctor as room
from services.migration import recorded
from services.migration.asking import Reply
from services.migration.doctor import Wanted
from services.migration.errors import WorkloadError
from services.migration.findings import Finding, Level
from services.migration.own_prompts import Pair, fits
from tests.unit.migration.house import TOKEN, House


def line(n: int, **body: Any) -> str:
    return json.dumps({"id": f"q{n}", "body": {"text": f"note {n}", "max_tokens": 16, **body}}) + "\n"


def read(tmp_path: Path, text: str) -> tuple[Any, ...]:
    path = tmp_path / "requests.jsonl"
    path.write_text(text)
    return recorded.read(path, nonce_field="text")


async def examine(house: House, text: str, **more: Any) -> dict[str, Finding]:
    path = house.home / "requests.jsonl"
    path.write_text(text)
    wanted = Wanted(recorded=path, **more)
    found = await room.doctor(house.settings, "notes", house.recipe, TOKEN, wanted=wanted, seams=house.seams)
    return {f.check: f for f in found}


def test_every_bad_line_is_named_with_its_number(tmp_path: Path) -> None:
    text = line(1) + "no json\n" + "\n" + "[1]\n" + line(1) + '{"id": "x"}\n' + '{"id": 5, "body": {"text": "a"}}\n'
    told = r"line 2: is not JSON; line 4: is not an object; line 5: .*before; line 6: `body`.*; line 7: `id`"
    with pytest.raises(WorkloadError, match=told):
        read(tmp_path, text)


def test_many_bad_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"line 20: .*; and 5 more"):
        read(tmp_path, "bad\n" * 25)


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(WorkloadError, match="holds no request; `cutover record SERVICE`"):
        read(tmp_path, text)


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "x"
    if there:
        path.mkdir()
    with pytest.raises(WorkloadError, match="cannot read the recorded requests"):
        recorded.read(path, nonce_field="text")


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(WorkloadError, match="line 1: is not JSON"):
        recorded.read(path, nonce_field="text")


def test_at_most_two_hundred_are_sent_from_the_first_to_the_last(tmp_path: Path) -> None:
    found = [item.id for item in read(tmp_path, "".join(line(n) for n in range(1000)))]
    assert (len(found), found[0], found[-1]) == (200, "q0", "q999")
    assert len(set(found)) == 200


async def test_recorded_requests_go_through_the_service_on_both_arms(house: House) -> None:
    found = await examine(house, line(1) + line(2))
    assert found["prompt tokens, recorded"].level is Level.PASS
    assert found["answered, recorded"].vllm == "2 of 2 answered"
    assert found["finish, recorded"].ollama == "stop 2"
    assert found["context fit"].vllm == "36 of 4096, 4 requests"
    sent = [b["text"] for k, b in house.asked if k == "service /v1/summarize"]
    assert sent.count("[doctor] note 1") == 4  # the recipe has one of these words too


async def test_another_prompt_of_a_recorded_request_fails(house: House) -> None:
    spoken = house._spoken

    def other(provider: str, answer: dict[str, Any]) -> httpx2.Response:
        return spoken(provider, {**answer, "llm": {**answer["llm"], "usage": {"prompt_tokens": len(provider)}}})

    house._spoken = other  # type: ignore[method-assign]
    finding = (await examine(house, line(7)))["prompt tokens, recorded"]
    assert finding.level is Level.FAIL
    assert "1 of 1 differ (q7: 6 and 4)" in finding.next


async def test_a_request_that_one_engine_cannot_answer_fails(house: House) -> None:
    house.vllm_fails = True
    found = await examine(house, line(1))
    assert found["answered, recorded"].level is Level.FAIL
    assert found["prompt tokens, recorded"].level is Level.FAIL


async def test_a_request_that_needs_more_than_the_window_fails(house: House) -> None:
    finding = (await examine(house, line(1, max_tokens=4090)))["context fit"]
    assert (finding.level, finding.ollama) == (Level.FAIL, "4110 of 4096, 3 requests")


def test_the_window_is_judged_by_the_99th_of_a_hundred() -> None:
    def pair(n: int) -> Pair:
        reply = Reply(sent_s=0, end_s=1, body={"llm": {"usage": {"prompt_tokens": n}}})
        return Pair(item=str(n), limit=0, replies=(reply, reply))

    assert fits([pair(n) for n in range(1, 101)], (99, 99)).level is Level.PASS
    assert fits([pair(n) for n in range(1, 101)], (98, 98)).level is Level.FAIL


def test_nothing_counted_is_no_pass() -> None:
    assert fits([], (4096, 4096)).level is Level.WARN
