"""The rule that says whether memory stays flat while documents come in, on scripted looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from services.evaluation.flatness import (
    FEWEST_LOOKS,
    MAY_GROW_BYTES,
    SMALLEST,
    Flatness,
    Verdict,
    of_children,
    of_service,
    overall,
)
from services.evaluation.ingest_run import Footprint, Quarter, Run, Stored, quarters

MIB = 1024 * 1024
LOOKS = 80


def seen(held: Callable[[int], int], *, size: int = 10 * SMALLEST, looks: int = LOOKS) -> list[Quarter]:
    """The quarters of a run of four equal documents, one stored every 100 s; `held` is MiB at each look in turn."""
    run = Run(documents=[Stored(id=str(n), size=size // 4, chunks=1, chars=1, at_s=100.0 * (n + 1)) for n in range(4)])
    run.seen = [
        Footprint(at_s=400.0 * (n + 0.5) / looks, service=held(n) * MIB, children=held(n) * MIB) for n in range(looks)
    ]
    return quarters(run)


def told(held: Callable[[int], int], **made: int) -> Verdict:
    return of_service(seen(held, **made)).verdict


def test_memory_that_stays_where_it_is_is_flat() -> None:
    assert told(lambda n: 100) is Verdict.FLAT


def test_warm_up_is_not_compared() -> None:
    """In the first quarter it doubles; from then on it stays."""
    assert told(lambda n: min(200, 100 + 5 * n)) is Verdict.FLAT


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_a_large_document_that_is_given_back_is_no_growth(quarter: int) -> None:
    """For a quarter of the looks in a quarter it takes five times as much, whichever quarter that is."""
    first = quarter * LOOKS // 4
    assert told(lambda n: 500 if first <= n < first + LOOKS // 16 else 100) is Verdict.FLAT


def test_what_is_kept_of_each_document_grows() -> None:
    """A quarter of a MiB at each look: by half a run, ten."""
    assert told(lambda n: 100 + n // 4) is Verdict.GROWS


def test_a_step_that_is_never_taken_back_grows() -> None:
    """It comes in the third quarter, and stays."""
    assert told(lambda n: 100 if n < LOOKS // 2 else 120) is Verdict.GROWS


def test_memory_that_is_given_back_in_the_end_is_flat() -> None:
    assert told(lambda n: 200 if n < LOOKS // 2 else 100) is Verdict.FLAT


@pytest.mark.parametrize(
    ("second", "last", "verdict"),
    [
        (10, 14, Verdict.FLAT),
        (10, 15, Verdict.GROWS),
        (400, 420, Verdict.FLAT),
        (400, 421, Verdict.GROWS),
    ],
)
def test_the_limit_is_the_greater_of_a_share_and_of_four_mib(second: int, last: int, verdict: Verdict) -> None:
    """Up to it, memory is flat."""
    assert MAY_GROW_BYTES == 4 * MIB
    assert told(lambda n: second if n < LOOKS // 2 else last) is verdict


def test_the_verdict_has_what_was_compared() -> None:
    found = of_service(seen(lambda n: 100 + n // 20))

    assert found == Flatness(verdict=Verdict.FLAT, second=101 * MIB, last=103 * MIB, limit=int(101 * MIB * 1.05))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"size": SMALLEST - 4}, "20.0 MB of documents, at least 84 are needed"),
        ({"looks": 4 * FEWEST_LOOKS - 4}, "9 looks in a quarter, at least 10 are needed"),
        ({"looks": 0}, "0 looks in a quarter"),
    ],
    ids=("few bytes", "few looks", "no looks"),
)
def test_a_short_run_is_neither_flat_nor_growing(made: dict[str, int], why: str) -> None:
    """However it grows."""
    found = of_service(seen(lambda n: 100 + 10 * n, **made))

    assert found.verdict is Verdict.INCONCLUSIVE
    assert why in found.why


@pytest.mark.parametrize(("held", "least"), [(10, 20), (300, 63)])
def test_what_holds_more_is_judged_by_a_longer_run(held: int, least: int) -> None:
    """Else all that came in between the quarters would be less than may be added."""
    told = of_service(seen(lambda _: held, size=20_000_000))
    long = of_service(seen(lambda _: held, size=4 * 16_000_000))

    assert (told.verdict is Verdict.FLAT) is (least <= 20)
    assert told.why in ("", f"20.0 MB of documents, at least {least} are needed")
    assert long.verdict is Verdict.FLAT


def test_memory_that_nobody_tells_is_not_flat() -> None:
    """A system without those lines tells 0 at each look; readers may hold nothing between two documents."""
    told = seen(lambda _: 0)

    assert (of_service(told).verdict, of_service(told).why) == (
        Verdict.INCONCLUSIVE,
        "this system does not tell how much memory it holds",
    )
    assert of_children(told).verdict is Verdict.FLAT


def test_the_readers_are_judged_by_their_own_memory() -> None:
    run = Run(documents=[Stored(id=str(n), size=SMALLEST, chunks=1, chars=1, at_s=100.0 * (n + 1)) for n in range(4)])
    run.seen = [Footprint(at_s=5.0 * n, service=100 * MIB, children=n * MIB) for n in range(80)]

    assert of_service(quarters(run)).verdict is Verdict.FLAT
    assert of_children(quarters(run)).verdict is Verdict.GROWS


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        (("flat", "inconclusive"), "flat"),
        (("inconclusive", "grows", "flat"), "grows"),
        (("inconclusive", "inconclusive"), "inconclusive"),
        ((), "inconclusive"),
    ],
    ids=("a short run beside a long one", "one that grows", "short ones", "none"),
)
def test_runs_together_are_as_bad_as_the_worst_that_was_judged(verdicts: Sequence[str], together: str) -> None:
    """What was too short says nothing."""
    found = [Flatness(verdict=Verdict(verdict), second=1, last=1, limit=1) for verdict in verdicts]
    assert overall(found) == together
