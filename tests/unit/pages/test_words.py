"""What pages say in words of how an answer came to be."""

from __future__ import annotations

import pytest

from services.llm.errors import DeadError, ErrorType
from services.llm.types import Answer, Attempt, Finish, Provenance, Skip, Usage
from services.pages.rendering import when
from services.pages.words import fallback_words, reason, seconds, sentence
from services.web.provenance import LLMInfo, llm_info


def told(
    *attempts: Attempt, skipped: tuple[Skip, ...] = (), provider: str = "ollama", reason: str | None = None
) -> LLMInfo:
    made = Provenance(
        request_id="r", provider=provider, engine=provider, model="m", attempts=attempts, skipped=skipped,
        fallback_reason=reason,
    )  # fmt: skip
    usage = Usage(prompt_tokens=None, completion_tokens=None)
    return llm_info(
        Answer(text="", finish=Finish.STOP, usage=usage, provenance=made, duration_s=1.0, first_token_s=None)
    )


ANSWERED = Attempt(provider="ollama", model="m", error=None, duration_s=1.0)
STALLED = Attempt(
    provider="vllm", model="m", error=DeadError("x", provider="vllm", type=ErrorType.TIMEOUT_STALL), duration_s=1.0
)


def test_the_first_to_be_asked_needs_no_words() -> None:
    assert fallback_words(told(ANSWERED)) == ""


def test_who_failed_why_and_who_did() -> None:
    words = fallback_words(told(STALLED, ANSWERED, reason=str(ErrorType.TIMEOUT_STALL)))
    assert words == "vLLM did not answer: it fell silent in the middle; Ollama did"


def test_who_was_not_even_asked() -> None:
    skip = Skip(provider="vllm", reason=str(ErrorType.BREAKER_OPEN))
    words = fallback_words(told(ANSWERED, skipped=(skip,), reason=skip.reason))
    assert words == "vLLM was not asked: it failed shortly before; Ollama did"


def test_who_stands_behind_the_one_that_answered_is_not_told() -> None:
    """A request too long for the fallback's window, for example: it was never that one's turn."""
    skip = Skip(provider="ollama", reason=str(ErrorType.CONTEXT_LENGTH))
    answered = Attempt(provider="vllm", model="m", error=None, duration_s=1.0)
    assert fallback_words(told(answered, skipped=(skip,), provider="vllm")) == ""


@pytest.mark.parametrize("code", [t for t in ErrorType if t not in ("none", "cancelled", "other")])
def test_every_cause_has_words(code: ErrorType) -> None:
    assert reason(str(code)) != str(code).replace("_", " ")


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "?"), (0.104, "0.10\N{NO-BREAK SPACE}s"), (12.34, "12.3\N{NO-BREAK SPACE}s")]
)
def test_seconds(value: float | None, expected: str) -> None:
    assert seconds(value) == expected


def test_a_time_is_told_to_the_minute_and_what_is_none_stays() -> None:
    assert when("2026-01-02T03:04:05+01:00") == "2026-01-02 02:04 UTC"
    assert when("now") == "now"


@pytest.mark.parametrize(("text", "expected"), [("no note 'a'", "No note 'a'."), ("Done.", "Done."), ("why?", "Why?")])
def test_an_error_becomes_a_sentence(text: str, expected: str) -> None:
    assert sentence(text) == expected
