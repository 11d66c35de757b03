"""Rounds: everything once, in an order that only the seed decides."""

from __future__ import annotations

import itertools

from services.overhead.plan import OURS, PEERS, SLOPES, SUBJECTS, cases, rounds


def test_every_round_holds_every_cell_once() -> None:
    cells = {(i, s, c.name) for i, subjects in SUBJECTS.items() for s in subjects for c in cases(20)}
    for order in rounds(3, 20, interpreters=[OURS, PEERS], seed=1):
        assert len(order) == len(cells)
        assert {(c.interpreter, c.subject, c.case.name) for c in order} == cells


def test_what_is_compared_runs_next_to_each_other() -> None:
    """The subjects of a case follow one another, whatever the order of cases."""
    (order,) = rounds(1, 20, interpreters=[OURS], seed=1)
    names = [c.case.name for c in order]

    assert len([1 for a, b in itertools.pairwise(names) if a != b]) == len(cases(20)) - 1


def test_the_seed_decides_the_order_and_rounds_differ() -> None:
    first, again, other = (list(rounds(2, 20, interpreters=[OURS], seed=seed)) for seed in (1, 1, 2))

    assert first == again
    assert first != other
    assert first[0] != first[1]


def test_a_slope_lies_between_two_cases_of_one_pace() -> None:
    by_name = {case.name: case for case in cases(1)}
    for slope in SLOPES:
        assert by_name[slope.short].gap_us == by_name[slope.long].gap_us
        assert by_name[slope.short].chunks < by_name[slope.long].chunks
