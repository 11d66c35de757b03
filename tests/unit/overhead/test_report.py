"""From raw numbers to the document: keys, targets, exit codes. Made-up numbers, never measured ones."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from services.overhead import report
from services.overhead.imports import Import
from services.overhead.measure import Raw
from services.overhead.plan import OURS, PEERS, SUBJECTS, cases
from services.overhead.stats import Estimate

ROUNDS = 8
CALL_S = {"raw": 0.001, "openai": 0.002, "ours": 0.0015, "litellm": 0.005, "litellm-router": 0.007}
CHUNK_S = {"raw": 20e-6, "openai": 100e-6, "ours": 40e-6, "litellm": 500e-6, "litellm-router": 500e-6}
HEADLINES = {
    "call_ratio_openai": 0.75,
    "chunk_ratio_openai": 0.4,
    "chunk_ratio_openai_paced": 0.4,
    "import_ratio_openai": 1.1,
    "litellm_added_over_ours": 8.0,
}


def raw(*, interpreters: tuple[str, ...] = (OURS, PEERS), calls: Mapping[str, float] = CALL_S) -> Raw:
    """Rounds of which each is a little slower than the one before, for everybody."""
    cells = {
        (interpreter, subject, case.name): [
            (1 + n / 10) * (calls[subject] + (case.chunks * CHUNK_S[subject] if case.stream else 0))
            for n in range(ROUNDS)
        ]
        for interpreter in interpreters
        for subject in SUBJECTS[interpreter]
        for case in cases(20)
    }
    return Raw(
        rounds=ROUNDS,
        calls=20,
        seed=1,
        load=(0.1, 0.2),
        versions={name: {"python": "3"} for name in interpreters},
        cells=cells,
        imports={
            "openai": [Import(cpu_s=0.5, rss_bytes=50_000_000)] * ROUNDS,
            "ours": [Import(cpu_s=0.55, rss_bytes=60_000_000)] * ROUNDS,
        },
    )


def test_the_headlines_are_ratios_of_what_ran_in_one_interpreter() -> None:
    document = report.document(raw())
    for key, value in HEADLINES.items():
        assert document[key]["value"] == pytest.approx(value)
        assert set(document[key]) == {"value", "low", "high"}
    assert {t["key"]: t["result"] for t in document["targets"]} == dict.fromkeys(HEADLINES, "met")
    assert report.code(document) == 0


def test_every_subject_has_a_row_for_every_measure() -> None:
    """Against raw HTTP and against the SDK, in microseconds."""
    rows = {(r["interpreter"], r["subject"], r["measure"]): r for r in report.document(raw())["rows"]}

    assert len(rows) == sum(map(len, SUBJECTS.values())) * (len(cases(20)) + 2)
    row = rows[PEERS, "litellm", "chunk"]
    assert row["cpu_us"]["value"] == pytest.approx(500 * 1.35)
    assert row["added_over_openai_us"]["value"] == pytest.approx(400 * 1.35)
    assert row["ratio_openai"]["value"] == pytest.approx(5.0)


def test_the_document_is_json() -> None:
    document = report.document(raw())

    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert {"load", "versions", "rounds", "seed"} <= set(document)


def test_without_peers_the_comparison_is_null_and_says_why() -> None:
    document = report.document(raw(interpreters=(OURS,)))

    assert document["litellm_added_over_ours"] == {
        "value": None,
        "low": None,
        "high": None,
        "reason": report.WITHOUT_PEERS,
    }
    assert report.code(document) == 2


def test_a_client_that_adds_nothing_gives_null_and_says_why() -> None:
    document = report.document(raw(calls=CALL_S | {"ours": CALL_S["raw"]}))

    assert document["litellm_added_over_ours"]["value"] is None
    assert "infinite" in document["litellm_added_over_ours"]["reason"]
    assert report.code(document) == 0


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (1.0, 0.9, 1.1, "met"),
        (1.1, 1.0, 1.2, "met, not clearly"),
        (1.0, None, None, "met, not clearly"),
        (1.2, 1.0, 1.3, "not met"),
    ],
)
def test_a_target_is_met_by_its_value_and_clearly_by_its_interval(
    value: float, low: float | None, high: float | None, expected: str
) -> None:
    target = report.Target(key="a", says="b", limit=1.1)

    assert report.result(target, Estimate(value=value, low=low, high=high)) == expected


@pytest.mark.parametrize(
    ("value", "low", "expected"), [(6.0, 5.1, "met"), (6.0, 4.9, "met, not clearly"), (4, 3, "not met")]
)
def test_a_target_of_at_least_looks_at_the_other_end(value: float, low: float, expected: str) -> None:
    target = report.Target(key="a", says="b", limit=5.0, at_least=True)

    assert report.result(target, Estimate(value=value, low=low, high=9.0)) == expected


def test_a_target_that_is_not_met_fails_the_check() -> None:
    assert report.code(report.document(raw(calls=CALL_S | {"ours": 0.004}))) == 1
