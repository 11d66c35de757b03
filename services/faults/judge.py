"""What a request must end with, what it ended with, and every way in which the two differ. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.faults.script import DOCUMENTS, WORDS, Role, Seen

SLACK_S = 0.2
"""How much later than its deadline a request may end."""


class Mode(enum.StrEnum):
    """How a request is asked: a whole answer, a stream, or a stream whose service wants a broken one restarted
    (`rescue`) or continued from where it broke (`continue`)."""

    CHAT = "chat"
    STREAM = "stream"
    RESCUE = "rescue"
    CONTINUE = "continue"


class Ended(enum.StrEnum):
    """How a request ended, in any subject's words.

    `FILTERED` is an answer that is marked as cut by a content filter, `CRASHED` an exception that nobody promised.
    """

    ANSWER = "answer"
    FILTERED = "filtered"
    PARTIAL = "partial"
    ERROR = "error"
    LEFT = "left"
    HANGS = "hangs"
    CRASHED = "crashed"


class Flaw(enum.StrEnum):
    """What is wrong. Nothing but `NOT_RESCUED` is safe: no answer, but the caller was told so in time."""

    NOT_RESCUED = "not rescued"
    RESENT = "answered what must not be asked again"
    WRONG_TEXT = "wrong text"
    WRONG_PROVIDER = "wrong provider"
    WRONG_ERROR = "wrong error"
    LATE = "late"
    HANGS = "hangs"
    UNTYPED = "untyped error"
    ATTEMPTS = "too many attempts"
    COUNTERS = "counters differ"
    NOT_CLOSED = "upstream not closed"
    CONDUCT = "conduct"


@dataclass(frozen=True, slots=True)
class Problem:
    flaw: Flaw
    detail: str

    def __str__(self) -> str:
        return f"{self.flaw}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What one request must end with.

    `by` may answer; `kinds` are the classes of error that are right (any, where empty); `most` is how often each
    provider may be asked. `retry_after_s` must reach the caller.
    """

    ended: frozenset[Ended]
    by: frozenset[Role] = frozenset(Role)
    kinds: frozenset[str] = frozenset()
    most: Mapping[Role, int] = field(default_factory=lambda: dict.fromkeys(Role, 1))
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """How one request of a subject ended.

    `provider` is who the subject says has answered and `kind` the class of its error, "" where it does not say;
    `attempts` is its own count of tries by provider, `continued` that another provider wrote on; times in seconds.
    """

    ended: Ended
    took_s: float
    text: str = ""
    provider: str = ""
    kind: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    attempts: Mapping[str, int] = field(default_factory=dict)
    continued: bool = False


def judge(expect: Expect, observed: Observed, *, deadline_s: float) -> list[Problem]:
    """One request. No problem means: typed, in time, and either the right text or explicitly none."""
    problems = _ending(expect, observed)
    if observed.ended not in (Ended.LEFT, Ended.HANGS) and observed.took_s > deadline_s + SLACK_S:
        problems.append(Problem(Flaw.LATE, f"{observed.took_s:.2f} s of {deadline_s:.2f} s"))
    for role, most in expect.most.items():
        if observed.attempts.get(role, 0) > most:
            problems.append(Problem(Flaw.ATTEMPTS, f"{role} was asked {observed.attempts[role]} times"))
    return problems


def _ending(expect: Expect, observed: Observed) -> list[Problem]:
    said = f"{observed.kind} {observed.detail}".strip()
    match observed.ended:
        case Ended.HANGS:
            return [Problem(Flaw.HANGS, said)]
        case Ended.CRASHED:
            return [Problem(Flaw.UNTYPED, said)]
        case Ended.ANSWER if Ended.ANSWER not in expect.ended:
            return [Problem(Flaw.RESENT, f"by {observed.provider or 'somebody'}"), *_text(expect, observed)]
        case Ended.ANSWER:
            return _text(expect, observed)
        case Ended.PARTIAL | Ended.FILTERED if not _begins_an_answer(observed.text):
            return [Problem(Flaw.WRONG_TEXT, f"what was shown is no beginning of an answer: {observed.text!r}")]
    if observed.ended not in expect.ended:
        wrong = Flaw.NOT_RESCUED if Ended.ANSWER in expect.ended else Flaw.WRONG_ERROR
        return [Problem(wrong, f"{observed.ended} {said}")]
    if observed.ended is Ended.ERROR:
        return _error(expect, observed)
    return []


def _error(expect: Expect, observed: Observed) -> list[Problem]:
    problems = []
    if expect.kinds and observed.kind and observed.kind not in expect.kinds:
        problems.append(Problem(Flaw.WRONG_ERROR, f"{observed.kind}, not {' or '.join(sorted(expect.kinds))}"))
    if expect.retry_after_s is not None and observed.retry_after_s != expect.retry_after_s:
        problems.append(Problem(Flaw.WRONG_ERROR, f"Retry-After {observed.retry_after_s}, not {expect.retry_after_s}"))
    return problems


def _text(expect: Expect, observed: Observed) -> list[Problem]:
    who = whose(observed.text)
    if who is None:
        return [Problem(Flaw.WRONG_TEXT, _fault_of(observed.text))]
    if observed.continued:  # the beginning is the primary's, and so must be the whole
        who = Role.FALLBACK if who is Role.PRIMARY else Role.PRIMARY
    if observed.provider and observed.provider != who:
        return [Problem(Flaw.WRONG_PROVIDER, f"{who} has answered, said to be {observed.provider}")]
    if who not in expect.by:
        return [Problem(Flaw.WRONG_PROVIDER, f"{who} has answered, not {' or '.join(sorted(expect.by))}")]
    return []


def whose(text: str) -> Role | None:
    """Whose whole answer this is; None where it is nobody's."""
    return next((role for role in Role for words in (WORDS, DOCUMENTS) if text == "".join(words[role])), None)


def _begins_an_answer(text: str) -> bool:
    return any("".join(words[role]).startswith(text) for role in Role for words in (WORDS, DOCUMENTS))


def _fault_of(text: str) -> str:
    if not text:
        return "an empty answer shown as success"
    if _begins_an_answer(text):
        return f"a truncated answer shown as success: {text!r}"
    return f"nobody's answer: {text!r}"


def judge_counts(
    expects: Sequence[Expect],
    seen: Mapping[Role, Seen],
    counted: Mapping[str, int] | None,
    *,
    retries: int = 0,
) -> list[Problem]:
    """All requests of one fault together: what reached the upstreams, against what was allowed and what was counted.

    `counted` are the subject's attempts that found a listener, by provider; None where it does not count. `retries`
    is how often a subject is set up to ask the same provider again.
    """
    problems = []
    for role, found in seen.items():
        most = sum(e.most.get(role, 1) * (1 + retries) for e in expects)
        if found.hits > most:
            detail = f"{role} was asked {found.hits} times in {len(expects)} requests, at most {most}"
            problems.append(Problem(Flaw.ATTEMPTS, detail))
        if counted is None:
            continue
        attempts = counted.get(role, 0)
        if not found.hits <= attempts <= found.hits + found.dropped:
            problems.append(Problem(Flaw.COUNTERS, f"{role}: counted {attempts}, the upstream saw {found.hits}"))
    return problems
