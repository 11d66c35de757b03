"""The calibration's own arithmetic and shape. Its rates come from the command, not from here."""

from __future__ import annotations

import argparse
import json

import pytest

from services import cli, cli_calibrate
from services.migration import calibrate, simulated_canary
from services.migration.calibrate import NEVER, QUESTIONS, Rate, Target, Task, subjects
from services.migration.judge import judge
from services.migration.simulated import Noise, World, run, simulated
from services.migration.verdict import Result

CONTRACT = {
    "identical_fail", "worse30_pass", "worse30_fail", "fallback_pass", "template_not_invalid", "rare70x_pass",
    "canary_equal_rollback", "misshapen2_pass", "lost10_pass",
}  # fmt: skip


def silent(_done: int, _total: int, _note: str) -> None:
    """Tells nobody."""


@pytest.fixture(scope="module")
def rates() -> dict[str, Rate]:
    """Two seeds of everything, in this process."""
    return dict(calibrate.calibrate(2, on_progress=silent, workers=1))


def test_every_rate_of_the_contract_is_there_with_its_interval(rates: dict[str, Rate]) -> None:
    document = json.loads(json.dumps(calibrate.document(rates)))
    assert set(document) >= CONTRACT
    for rate in document.values():
        assert rate["low"] <= rate["rate"] <= rate["high"]
        assert rate["n"] >= 4


def test_the_same_seeds_give_the_same_rates(rates: dict[str, Rate]) -> None:
    task = Task(subject="identical", noise=Noise.STALLS, seed=1)
    assert calibrate.play(task) == calibrate.play(task)


def test_the_table_has_a_row_and_a_title_for_every_rate(rates: dict[str, Rate]) -> None:
    assert cli_calibrate.table(rates).row_count == len(rates) == len(cli_calibrate.TITLES)


def test_every_question_is_about_known_subjects() -> None:
    assert {s for q in QUESTIONS.values() for s in q.subjects} == set(subjects())


@pytest.mark.parametrize(
    ("world", "name", "stat"),
    [(World(rounds=40, misshapen=0.02), "contract", ""), (World(rounds=40, lost=0.1), "quality", "keyword_recall")],
)
def test_spoilt_answers_are_the_candidates_alone_and_spoil_their_own_metric(world: World, name: str, stat: str) -> None:
    verdict, sound = judge(simulated(world)), judge(simulated(World(rounds=40)))
    found, before = verdict.metric(name, stat), sound.metric(name, stat)
    assert found is not None and before is not None
    assert found.baseline == before.baseline
    assert before.result is Result.PASS
    assert found.result is not Result.PASS


def test_a_run_that_never_saw_a_file_is_judged_like_one_that_did() -> None:
    world = World(rounds=10, slower=1.3, noise=Noise.STALLS)
    assert judge(simulated(world)).metrics == judge(run(world)).metrics


@pytest.mark.parametrize("noise", Noise)
def test_an_equal_canary_is_played_through_to_the_holdback(noise: Noise) -> None:
    assert not simulated_canary.equal_rolls_back(noise, 1)


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (Rate(count=0, n=40, target=NEVER), "met"),
        (Rate(count=1, n=40, target=NEVER), "NOT met"),
        (
            Rate(count=0, n=40, target=Target(most=0.02)),
            "met, not shown: needs 183 runs",
        ),
        (Rate(count=0, n=200, target=Target(most=0.02)), "met, shown"),
        (Rate(count=19, n=20, target=Target(least=0.8)), "met, not shown"),
        (Rate(count=190, n=200, target=Target(least=0.8)), "met, shown"),
        (Rate(count=3, n=20, target=Target()), ""),
    ],
)
def test_a_rate_says_what_its_seeds_can_show(rate: Rate, said: str) -> None:
    assert rate.said() == said


def test_one_target_missed_is_not_all_met() -> None:
    good, bad = Rate(count=0, n=9, target=NEVER), Rate(count=1, n=9, target=NEVER)
    assert calibrate.all_met({"a": good})
    assert not calibrate.all_met({"a": good, "b": bad})


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["gate"], "needs a SERVICE"),
        (["gate", "notes", "--seeds", "3"], "goes with --calibrate"),
        (["gate", "--calibrate", "--seeds", "0"], "at least 1"),
    ],
)
def test_an_incomplete_gate_is_a_usage_error(argv: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(argv)
    assert left.value.code == 64
    assert word in capsys.readouterr().err


def test_calibrating_needs_no_service() -> None:
    found: argparse.Namespace = cli.parser().parse_args(["gate", "--calibrate", "--seeds", "2", "--json"])
    assert (found.service, found.seeds, cli_calibrate.missing(found)) == (None, 2, None)
