"""RAG's streamed answers: sources first, then tokens, then exactly one terminal event; and readers who leave."""

from __future__ import annotations

from typing import Any

import pytest

from services.llm.errors import AllProvidersFailed, BusyError, DeadError, ErrorType
from services.llm.types import Finish, Outcome, Restarted, Token
from tests.service.scripted import Desk, Hang, Notice, Step, answer, cut, ended, events, leaving

QUESTION = {"question": "When does the backup start?", "stream": True}
TERMINAL = ("done", "error")


@pytest.fixture
async def stocked(rag: Desk) -> Desk:
    await rag.http.post("/v1/documents", json={"title": "Backups", "text": "The backup starts at 02:40."})
    return rag


async def streamed(rag: Desk, *steps: Step) -> list[tuple[str, Any]]:
    rag.llm.steps = steps
    response = await rag.http.post("/v1/ask", json=QUESTION)
    assert response.headers["content-type"].startswith("text/event-stream")
    return events(response.text)


async def test_a_whole_stream_is_passages_tokens_done(stocked: Desk) -> None:
    """The sources come before the first token, the citations with the last event."""
    found = await streamed(stocked, *ended(answer("At 02:40.")))

    assert [name for name, _ in found] == ["retrieved", "token", "token", "citations", "done"]
    done = found[-1][1]
    assert found[-2][1]["citations"] == done["citations"]
    assert (done["outcome"], done["answer"], done["citations"][0]["n"]) == ("complete", "At 02:40.", 1)
    assert done["llm"]["provider"] == "vllm"
    assert found[0][1]["hits"][0]["text"] == "The backup starts at 02:40."


async def test_a_restart_voids_the_tokens_so_far(stocked: Desk) -> None:
    """A rescued stream says so where it happens, and its outcome says it again."""
    restart = Restarted(provider="ollama", reason="cut")
    final = ended(answer("At 02:40.", provider="ollama", error=cut("It")), outcome=Outcome.RESCUED)
    found = await streamed(stocked, Token(text="It"), restart, *final)

    assert [name for name, _ in found] == ["retrieved", "token", "restart", "token", "token", "citations", "done"]
    assert found[2][1] == {"provider": "ollama", "reason": "cut"}
    assert (found[-1][1]["outcome"], found[-1][1]["answer"]) == ("rescued", "At 02:40.")


async def test_a_broken_stream_says_partial_and_why(stocked: Desk) -> None:
    """What had come stays, with an error that the reader can see."""
    partial = ended(answer("At", finish=Finish.CUT), outcome=Outcome.PARTIAL, error=cut("At"))
    found = await streamed(stocked, *partial)

    name, done = found[-1]
    assert (name, done["outcome"], done["error"]["status"]) == ("done", "partial", 502)


async def test_when_nobody_can_answer_the_last_event_is_the_problem(stocked: Desk) -> None:
    """The stream has begun with 200 by then, so the problem document travels as an event."""
    dead = DeadError("refused", provider="vllm", type=ErrorType.CONNECT)
    busy = BusyError("full", provider="ollama", type=ErrorType.SHED, retry_after_s=3)
    found = await streamed(stocked, AllProvidersFailed((dead, busy)))

    name, problem = found[-1]
    assert (name, problem["status"], problem["type"]) == ("error", 503, "urn:cutover:problem:engines-busy")
    assert [c["provider"] for c in problem["causes"]] == ["vllm", "ollama"]


@pytest.mark.parametrize(
    "steps",
    [
        ended(answer("At 02:40.")),
        [Token(text="x"), Restarted(provider="ollama", reason="cut"), *ended(answer("y"), outcome=Outcome.RESCUED)],
        ended(answer("x"), outcome=Outcome.PARTIAL, error=cut("x")),
        [cut("")],
        [Token(text="x"), cut("x")],
        [ZeroDivisionError("secret")],
        [Token(text="x"), ZeroDivisionError("secret")],
        [Token(text="x")],
        [],
        [*ended(answer("x")), *ended(answer("y"))],
    ],
    ids=["whole", "rescued", "partial", "failed", "raised late", "bug", "late bug", "no end", "empty", "two ends"],
)
async def test_every_stream_ends_in_exactly_one_terminal_event(stocked: Desk, steps: list[Step]) -> None:
    """Whatever the client does, the reader learns once how it ended, last of all, and no internals."""
    found = await streamed(stocked, *steps)

    assert [name in TERMINAL for name, _ in found].count(True) == 1
    assert found[-1][0] in TERMINAL
    assert "secret" not in str(found)


async def test_without_passages_the_stream_ends_at_once(rag: Desk) -> None:
    """No passages, no model, still a terminal event."""
    found = await streamed(rag)

    assert [name for name, _ in found] == ["retrieved", "citations", "done"]
    assert (found[2][1]["answerable"], found[2][1]["llm"], rag.llm.requests) == (False, None, [])


async def test_a_bad_question_is_a_plain_problem(rag: Desk) -> None:
    """What is refused before the stream begins has its own status."""
    response = await rag.http.post("/v1/ask", json={"question": "", "stream": True})

    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")


class TestTheReaderLeaves:
    @pytest.mark.parametrize("before", [[], [Token(text="At")]], ids=["before the first token", "after it"])
    async def test_leaving_a_stream_cancels_the_engine(self, stocked: Desk, before: list[Step]) -> None:
        """The client's stream is closed at once, whether or not it has said anything yet."""
        stocked.llm.steps = [*before, Hang()]
        sent = await leaving(stocked.app, "/v1/ask", QUESTION, when=stocked.llm.hanging)

        assert stocked.llm.left_early.is_set()
        assert not any(b"event: done" in m.get("body", b"") for m in sent)

    async def test_leaving_between_two_tokens_closes_the_stream(self, stocked: Desk) -> None:
        """A reader who leaves while a token is being sent leaves no stream open behind."""
        stocked.llm.steps = [Token(text="x"), Notice(), *[Token(text="x")] * 5_000]
        sent = await leaving(stocked.app, "/v1/ask", QUESTION, when=stocked.llm.hanging)

        assert stocked.llm.left_early.is_set()
        assert len(sent) < 100

    async def test_leaving_a_plain_question_cancels_the_engine(self, stocked: Desk) -> None:
        """The same without a stream: nobody waits, so nobody works."""
        stocked.llm.answers = [Hang()]
        await leaving(stocked.app, "/v1/ask", {**QUESTION, "stream": False}, when=stocked.llm.hanging)

        assert stocked.llm.left_early.is_set()
