"""How a stream is read and timed, and how answers are counted: without Locust and without a clock."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

Bench = Callable[[str], Any]


def stream(*events: tuple[str, dict[str, Any]]) -> bytes:
    return b"".join(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in events)


def done(**fields: Any) -> tuple[str, dict[str, Any]]:
    usage = {"prompt_tokens": 5, "completion_tokens": fields.pop("tokens", 9)}
    return "done", {"outcome": "complete", "answerable": True, "llm": {"provider": "vllm", "usage": usage}} | fields


WORD = ("token", {"text": "word"})
EMPTY = ("token", {"text": ""})
RESTART = ("restart", {"provider": "ollama", "reason": "timeout_stall"})


def read(bench: Bench, body: bytes) -> Any:
    """With a clock that shows 10 ms more at each look; it is looked at once an event."""
    ticks = itertools.count(10, 10)
    return bench("_sse").read(io.BytesIO(body).readline, lambda: float(next(ticks)))


class TestTimes:
    def test_the_first_token_is_the_first_one_with_text(self, bench: Bench) -> None:
        """Passages and an empty token come earlier and do not count."""
        got = read(bench, stream(("retrieved", {"hits": []}), EMPTY, WORD, WORD, done()))
        assert (got.first_token_ms, got.last_token_ms, got.end_ms) == (30.0, 40.0, 50.0)
        assert got.problem is None

    def test_a_restart_makes_the_tokens_before_it_void(self, bench: Bench) -> None:
        got = read(bench, stream(WORD, WORD, RESTART, WORD, done()))
        assert (got.first_token_ms, got.last_token_ms, got.restarts) == (40.0, 40.0, 1)

    def test_time_per_token_is_from_the_first_to_the_last_over_n_minus_one(self, bench: Bench) -> None:
        """n is what the engine counted, because one event may hold several tokens."""
        got = read(bench, stream(WORD, WORD, WORD, done(tokens=11)))
        assert got.time_per_token_ms() == pytest.approx(2.0)

    def test_a_short_answer_has_no_time_per_token(self, bench: Bench) -> None:
        assert read(bench, stream(WORD, WORD, done(tokens=7))).time_per_token_ms() is None

    def test_keep_alives_and_carriage_returns_are_read_past(self, bench: Bench) -> None:
        body = b': ping\r\n\r\nevent: token\r\ndata: {\r\ndata: "text": "w"}\r\n\r\n' + stream(done())
        assert read(bench, body).first_token_ms == 10.0


class TestEnds:
    def test_a_model_that_says_it_is_not_stated_has_answered(self, bench: Bench) -> None:
        """It took as long as any other answer; only where nobody was asked is there nothing to measure."""
        assert read(bench, stream(WORD, WORD, done(answerable=False))).problem is None

    @pytest.mark.parametrize(
        ("events", "problem"),
        [
            ([WORD], "stream ended without a terminal event"),
            ([], "stream ended without a terminal event"),
            ([WORD, ("error", {"title": "Engine gone"})], "error event: Engine gone"),
            ([WORD, done(outcome="partial")], "done, but the answer is partial"),
            ([EMPTY, done()], "done without a token"),
            ([done(answerable=False, llm=None)], "no passage found: are the sample documents loaded?"),
            ([WORD, done(), WORD], "'token' after the terminal event"),
        ],
    )
    def test_what_is_not_a_whole_answer_is_a_problem(self, bench: Bench, events: Any, problem: str) -> None:
        assert read(bench, stream(*events)).problem == problem

    def test_data_that_is_not_json_is_refused(self, bench: Bench) -> None:
        with pytest.raises(ValueError):
            read(bench, b"event: token\ndata: word\n\n")


def record(bench: Bench, provider: str | None, *, problem: str | None = None, fell_back: bool = False) -> Any:
    llm = {"provider": provider, "fallback_reason": "connect" if fell_back else None} if provider else {}
    return bench("_records").Record(
        at=0.0, service="rag", item="r01", arm="", status=200, problem=problem, headers_ms=1, duration_ms=2, llm=llm
    )


class TestTally:
    def test_counts_reach_the_master_and_show_fallbacks_apart(self, bench: Bench) -> None:
        """Two workers count, the master adds; a fallback answer is the provider's that gave it."""
        master, workers = bench("_records").Tally(), [bench("_records").Tally() for _ in range(2)]
        workers[0].count(record(bench, "vllm"))
        workers[0].count(record(bench, "ollama", fell_back=True))
        workers[1].count(record(bench, None, problem="503"))
        workers[1].count(record(bench, "vllm"))
        for worker in workers:
            master.add(json.loads(json.dumps(worker.drain())))
        assert [line.split() for line in master.lines()[1:]] == [
            ["rag", "(nobody)", "0", "0", "1"],
            ["rag", "ollama", "1", "1", "0"],
            ["rag", "vllm", "2", "0", "0"],
        ]
        assert workers[0].lines() == []


class TestEngineStream:
    """An engine's own stream: frames are not tokens, and usage counts them."""

    def read(self, bench: Bench, *frames: str) -> Any:
        ticks = itertools.count(10, 10)
        body = "".join(f"data: {frame}\n\n" for frame in frames).encode()
        return bench("_sse").read_chunks(io.BytesIO(body).readline, lambda: float(next(ticks)))

    def chunk(self, **delta: str) -> str:
        return json.dumps({"choices": [{"delta": delta}]})

    def test_the_role_and_the_last_frame_are_chunks_and_no_tokens(self, bench: Bench) -> None:
        words = [self.chunk(content="a"), self.chunk(content="b")]
        usage = json.dumps({"choices": [], "usage": {"completion_tokens": 9}})
        got = self.read(bench, self.chunk(role="assistant", content=""), *words, self.chunk(), usage, "[DONE]")
        assert (got.first_chunk_ms, got.first_token_ms, got.last_token_ms, got.last_chunk_ms) == (10, 20, 30, 40)
        assert (got.time_per_token_ms(), got.problem) == (pytest.approx(10 / 8), None)

    @pytest.mark.parametrize("frames", [[], ["[DONE]"]])
    def test_a_stream_without_a_token_or_without_an_end_is_a_problem(self, bench: Bench, frames: list[str]) -> None:
        assert self.read(bench, *frames).problem == "stream ended without a terminal event"
        assert self.read(bench, self.chunk(content="a")).problem == "stream ended without a terminal event"
