"""The state folder as metrics: what it says, what it does not, and what cannot be read."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path

import pytest

from services.llm.rollout import Stage, Standing
from services.migration import facts, gates, ledger, rollout
from services.migration.verdict import to_json
from services.monitor import state
from services.monitor.measures import EXPORTED, Sample, families
from tests.unit.migration.moving import twice_as_fast

POLICY = gates.load().policy
AT = "2026-11-21T10:00:00+00:00"
AT_S = 1795255200.0


def shown(folder: Path) -> dict[tuple[str, ...], float]:
    """Name and label values, to the value."""
    return {(s.name, *map(str, s.labels)): float(s.value) for s in state.samples(folder, POLICY)}


def moved(folder: Path, service: str, stage: Stage, share: float) -> ledger.Entry:
    entry = ledger.Entry(
        service=service,
        source=Standing(),
        target=Standing(stage=stage, share=share),
        actor="test",
        reasons=("because",),
    )
    return rollout.move(folder, entry, expected=None, clock=lambda: AT)


def test_an_empty_folder_stands_on_ollama_and_claims_no_measurement(tmp_path: Path) -> None:
    """States and counters are at zero, so that a ratio or an alert has a value; a verdict that is none has no value."""
    found = shown(tmp_path / "not there yet")

    assert found["llm_migration_stage", "rag", "ollama"] == 1
    assert [found["llm_migration_stage", "rag", s] for s in ("canary", "full", "rolled_back")] == [0, 0, 0]
    assert found["llm_ledger_moves_total", "ner", "rolled_back"] == 0
    assert found["llm_canary_e_value", "notes"] < 1
    assert found["llm_state_free_bytes",] > 0
    names = {name for name, *_ in found}
    assert not names & {"llm_gate_value", "llm_gate_expires_timestamp_seconds"}
    assert "llm_migration_stage_since_timestamp_seconds" not in names


def test_the_ledger_is_told(tmp_path: Path) -> None:
    """Stage, share, when, and every move."""
    moved(tmp_path, "rag", Stage.CANARY, 0.05)
    moved(tmp_path, "rag", Stage.ROLLED_BACK, 0.0)
    moved(tmp_path, "rag", Stage.FULL, 0.98)
    found = shown(tmp_path)

    assert found["llm_migration_stage", "rag", "full"] == 1
    assert found["llm_canary_target_ratio", "rag"] == 0.98
    assert found["llm_holdback_ratio", "rag"] == pytest.approx(0.02)
    assert found["llm_ledger_moves_total", "rag", "rolled_back"] == 1
    assert found["llm_migration_stage_since_timestamp_seconds", "rag"] == AT_S
    assert found["llm_migration_stage", "ner", "ollama"] == 1


def test_evidence_is_of_this_step_only(tmp_path: Path) -> None:
    """What the controller wrote down about the step before says nothing about this one."""
    first = moved(tmp_path, "rag", Stage.CANARY, 0.05)
    watch = facts.begin({}).advanced({"first/vllm/connect": 40.0, "first/ollama/none": 40.0}, POLICY)
    facts.keep(tmp_path, "rag", watch, seq=first.seq)
    during = shown(tmp_path)
    moved(tmp_path, "rag", Stage.CANARY, 0.25)
    after = shown(tmp_path)

    assert during["llm_canary_e_value", "rag"] > during["llm_canary_e_limit",]
    assert during["llm_canary_errors", "rag", "vllm"] == during["llm_canary_requests", "rag", "vllm"] == 40
    assert during["llm_canary_errors", "rag", "ollama"] == 0
    assert after["llm_canary_e_value", "rag"] < 1
    assert after["llm_canary_requests", "rag", "vllm"] == 0


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("rollout.json", "rollout"),
        ("ledger.jsonl", "ledger"),
        ("verdicts/rag.json", "verdict"),
        ("canary/ner.json", "canary"),
    ],
)
def test_nonsense_is_counted_and_never_raises(tmp_path: Path, path: str, kind: str) -> None:
    """An alert says so; the page still tells the rest."""
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("not what it should be\n")
    found = shown(tmp_path)

    assert {k: found["llm_state_unreadable", k] for k in ("rollout", "ledger", "verdict", "canary")} == {
        **dict.fromkeys(("rollout", "ledger", "verdict", "canary"), 0.0),
        kind: 1.0,
    }
    assert found["llm_migration_stage", "rag", "ollama"] == 1


def test_a_verdict_is_told_with_bounds_and_margin(tmp_path: Path) -> None:
    """As the gate wrote it; bounds that did not exist have no series, and names are of the closed set."""
    made = dataclasses.replace(twice_as_fast(), service="rag")
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "rag.json").write_text(to_json(made))
    found = shown(tmp_path)
    median = made.metric("e2e", "q50")
    assert median is not None

    assert found["llm_gate_verdict", "rag", "pass"] == 1
    assert found["llm_gate_verdict", "rag", "fail"] == 0
    assert found["llm_gate_value", "rag", "e2e_q50", "effect"] == median.effect
    assert found["llm_gate_value", "rag", "e2e_q50", "high"] == median.high
    assert found["llm_gate_threshold", "rag", "e2e_q50"] == median.margin
    assert found["llm_gate_expires_timestamp_seconds", "rag"] == datetime.fromisoformat(made.expires).timestamp()
    shown_gates = {labels[1] for name, *labels in found if name == "llm_gate_value"}
    assert shown_gates <= set(gates.METRICS)


def test_every_sample_is_in_the_table(tmp_path: Path) -> None:
    """And one that is not is refused, not shown without a page in the docs."""
    made = families(state.samples(tmp_path, POLICY))

    assert {m.name for m in made} == {d.name.removesuffix("_total") for d in EXPORTED}
    with pytest.raises(KeyError, match="llm_unheard_of"):
        families([Sample("llm_unheard_of", (), 1)])
