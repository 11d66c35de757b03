"""What a measurement of ingestion says of a run: quarters by bytes, and the memory that was seen in each."""

from __future__ import annotations

from services.evaluation.ingest_run import Footprint, Run, Stored, quarters, some


def stored(number: int, size: int, at_s: float) -> Stored:
    return Stored(id=str(number), size=size, chunks=2, chars=9, at_s=at_s)


def test_quarters_hold_as_many_bytes_each_in_the_order_of_storing() -> None:
    """Eight files of one size, two a quarter; a quarter lasts until its last document is stored."""
    run = Run(began_s=100.0, documents=[stored(n, 10, 101.0 + n) for n in reversed(range(8))])
    run.seen = [Footprint(at_s=100.5 + n, service=1000 + n, children=n, log=n) for n in range(8)]

    found = quarters(run)

    assert [q.documents for q in found] == [2, 2, 2, 2]
    assert [q.took_s for q in found] == [2.0, 2.0, 2.0, 2.0]
    assert [q.service_peak for q in found] == [1001, 1003, 1005, 1007]
    assert [(q.children_peak, q.log_peak) for q in found] == [(1, 1), (3, 3), (5, 5), (7, 7)]
    assert (sum(q.chunks for q in found), sum(q.bytes for q in found)) == (run.chunks, run.bytes) == (16, 80)


def test_a_run_of_one_file_or_none_has_four_quarters_all_the_same() -> None:
    """Nothing is divided by nothing."""
    one = quarters(Run(began_s=1.0, documents=[stored(0, 10, 3.0)]))

    assert [q.documents for q in one] == [1, 0, 0, 0]
    assert [q.took_s for q in quarters(Run(began_s=1.0))] == [0.0] * 4


def test_a_part_of_a_run_is_from_all_over_it() -> None:
    """A tenth of the chunks, spread; a run that has no more than are wanted is taken whole."""
    run = [Stored(id=str(n), size=10, chunks=2 + n % 3, chars=9, at_s=float(n)) for n in range(300)]

    part = some(run, 90)

    assert abs(sum(d.chunks for d in part) - 90) <= 4
    assert all(9 <= sum(int(d.id) // 100 == third for d in part) <= 11 for third in range(3))
    assert some(run, 900) == run
    assert some([], 90) == []
