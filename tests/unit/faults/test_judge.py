"""The judge can fail: every way in which a request may end wrongly is told, and only what is right passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.faults.expectations import BROKEN, BUSY, BY_FALLBACK, BY_PRIMARY, REFUSED
from services.faults.judge import Ended, Expect, Flaw, Observed, judge, judge_counts, whose
from services.faults.script import DOCUMENTS, WORDS, Role, Seen

FIRST, SECOND = "".join(WORDS[Role.PRIMARY]), "".join(WORDS[Role.FALLBACK])
ANSWERED = Observed(ended=Ended.ANSWER, took_s=0.1, text=SECOND, provider="ollama", attempts={"vllm": 1, "ollama": 1})


def flaws(expect: Expect, observed: Observed, deadline_s: float = 1.0) -> set[Flaw]:
    return {problem.flaw for problem in judge(expect, observed, deadline_s=deadline_s)}


def test_the_expected_answer_passes() -> None:
    """By the fallback, in time, asked once."""
    assert flaws(BY_FALLBACK, ANSWERED) == set()


@pytest.mark.parametrize(
    "text",
    ["", SECOND[:-1], SECOND[:9], FIRST[:9] + SECOND, SECOND + SECOND, FIRST[:9] + SECOND[9:], "Bonjour", SECOND + " "],
)
def test_a_text_that_is_nobodys_whole_answer_fails(text: str) -> None:
    """Empty, truncated, after void tokens, doubled, mixed, other, longer: each shown as success."""
    assert Flaw.WRONG_TEXT in flaws(BY_FALLBACK, Observed(ended=Ended.ANSWER, took_s=0.1, text=text))


@pytest.mark.parametrize(
    ("expect", "observed", "flaw"),
    [
        (BY_PRIMARY, ANSWERED, Flaw.WRONG_PROVIDER),
        (BY_FALLBACK, Observed(ended=Ended.ANSWER, took_s=0.1, text=SECOND, provider="vllm"), Flaw.WRONG_PROVIDER),
        (REFUSED, Observed(ended=Ended.ANSWER, took_s=0.1, text=SECOND), Flaw.RESENT),
        (BY_FALLBACK, Observed(ended=Ended.ERROR, took_s=0.1, kind="dead"), Flaw.NOT_RESCUED),
        (BY_FALLBACK, Observed(ended=Ended.PARTIAL, took_s=0.1, text=FIRST[:9]), Flaw.NOT_RESCUED),
        (BROKEN, Observed(ended=Ended.PARTIAL, took_s=0.1, text="Bon"), Flaw.WRONG_TEXT),
        (REFUSED, Observed(ended=Ended.ERROR, took_s=0.1, kind="dead"), Flaw.WRONG_ERROR),
        (BROKEN, Observed(ended=Ended.CRASHED, took_s=0.1), Flaw.UNTYPED),
        (BUSY, Observed(ended=Ended.HANGS, took_s=9.0), Flaw.HANGS),
        (BY_FALLBACK, Observed(ended=Ended.ANSWER, took_s=1.3, text=SECOND), Flaw.LATE),
        (
            BY_FALLBACK,
            Observed(ended=Ended.ANSWER, took_s=0.1, text=SECOND, attempts={"vllm": 2, "ollama": 1}),
            Flaw.ATTEMPTS,
        ),
    ],
)
def test_each_wrong_ending_is_told(expect: Expect, observed: Observed, flaw: Flaw) -> None:
    assert flaws(expect, observed) == {flaw}


def test_a_retry_after_that_does_not_reach_the_caller_fails() -> None:
    expect = Expect(ended=frozenset({Ended.ERROR}), retry_after_s=7.0)
    told = Observed(ended=Ended.ERROR, took_s=0.1, kind="busy", retry_after_s=7.0)

    assert flaws(expect, told) == set()
    assert flaws(expect, Observed(ended=Ended.ERROR, took_s=0.1, kind="busy")) == {Flaw.WRONG_ERROR}


def test_counters_must_equal_what_the_upstream_saw() -> None:
    """One more, one less, and asked more often than allowed."""
    seen = {Role.PRIMARY: Seen(hits=2), Role.FALLBACK: Seen(hits=1)}
    twice = [BY_FALLBACK, BY_FALLBACK]

    assert judge_counts(twice, seen, {"vllm": 2, "ollama": 1}) == []
    assert [p.flaw for p in judge_counts(twice, seen, {"vllm": 1, "ollama": 1})] == [Flaw.COUNTERS]
    assert [p.flaw for p in judge_counts(twice, seen, {"vllm": 3, "ollama": 1})] == [Flaw.COUNTERS]
    assert [p.flaw for p in judge_counts([BY_FALLBACK], seen, None)] == [Flaw.ATTEMPTS]
    assert judge_counts([BY_FALLBACK], seen, None, retries=1) == []


def test_a_request_lost_on_a_dying_connection_may_be_counted_or_not() -> None:
    """The upstream cannot say whether it was a request."""
    seen = {Role.PRIMARY: Seen(hits=1, dropped=1)}

    assert judge_counts([BY_PRIMARY, BY_PRIMARY], seen, {"vllm": 2}) == []
    assert judge_counts([BY_PRIMARY, BY_PRIMARY], seen, {"vllm": 1}) == []
    assert judge_counts([BY_PRIMARY, BY_PRIMARY], seen, {"vllm": 3}) != []


def test_the_two_answers_share_no_beginning() -> None:
    """Else a mixed answer could pass for one of them."""
    for words in (WORDS, DOCUMENTS):
        assert whose("".join(words[Role.PRIMARY])) is Role.PRIMARY
        assert whose("".join(words[Role.FALLBACK])) is Role.FALLBACK
    assert FIRST[0] != SECOND[0]


def test_a_continued_answer_reads_like_the_first_providers() -> None:
    """Written on by the fallback, so that its own answer would be a restart and a gap would be nobody's."""
    told = Observed(ended=Ended.ANSWER, took_s=0.1, text=FIRST, provider="ollama", continued=True)

    assert flaws(BY_FALLBACK, told) == set()
    assert flaws(BY_FALLBACK, replace(told, text=SECOND)) == {Flaw.WRONG_PROVIDER}
    assert flaws(BY_FALLBACK, replace(told, text=FIRST[:5] + FIRST[6:])) == {Flaw.WRONG_TEXT}
    assert flaws(BY_FALLBACK, replace(told, continued=False)) == {Flaw.WRONG_PROVIDER}
