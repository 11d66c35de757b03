"""The ledger and the rollout file: nothing is lost, nothing is half-written, a rollback always works."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from services.llm.rollout import FILE_NAME, Stage, Standing
from services.migration import ledger, rollout
from services.migration.controller import history, rollback
from services.migration.errors import LedgerError, LockHeld, StateError, Superseded
from services.migration.ledger import Entry
from services.settings import Settings, load

CANARY = Standing(stage=Stage.CANARY, share=0.05, verdict="v1")
FULL = Standing(stage=Stage.FULL, share=1.0, verdict="v1")


def entry(target: Standing = CANARY, source: Standing | None = None, service: str = "notes") -> Entry:
    return Entry(service=service, source=source or Standing(), target=target, actor="controller", reasons=("a test",))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"CUTOVER_HOME": str(tmp_path)})


@pytest.fixture
def state(settings: Settings) -> Path:
    return settings.state_dir


def lines(state: Path) -> list[str]:
    return (state / ledger.FILE_NAME).read_text().splitlines()


def test_a_move_is_in_the_ledger_and_in_the_rollout_file(state: Path) -> None:
    written = rollout.move(state, entry(), expected=0)
    assert (written.seq, ledger.history(state / ledger.FILE_NAME)) == (1, [written])
    assert rollout.stored(state)[0].standing("notes") == CANARY


def test_a_ledger_line_has_the_words_of_the_contract(state: Path) -> None:
    rollout.move(state, entry(), expected=0)
    keys = {"seq", "at", "service", "from", "to", "actor", "demo", "reasons", "verdict", "evidence"}
    assert set(json.loads(lines(state)[0])) == keys


def test_services_do_not_disturb_each_other(state: Path) -> None:
    rollout.move(state, entry(), expected=0)
    rollout.move(state, entry(FULL, service="rag"), expected=0)
    found = rollout.stored(state)[0]
    assert (found.standing("notes"), found.standing("rag")) == (CANARY, FULL)


def test_a_torn_last_line_is_tolerated_and_cut_off_by_the_next(state: Path) -> None:
    rollout.move(state, entry(), expected=0)
    with (state / ledger.FILE_NAME).open("a") as file:
        file.write('{"seq": 2, "service": "no')
    assert ledger.read(state / ledger.FILE_NAME).torn
    rollout.move(state, entry(FULL, CANARY), expected=1)
    assert [json.loads(line)["seq"] for line in lines(state)] == [1, 2]


def test_a_whole_line_of_nonsense_stops_automatic_moves_but_not_a_rollback(settings: Settings, state: Path) -> None:
    rollout.move(state, entry(), expected=0)
    with (state / ledger.FILE_NAME).open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(LedgerError, match="line 2"):
        ledger.trusted(state / ledger.FILE_NAME)
    assert rollback(settings, "notes").stage is Stage.ROLLED_BACK


def test_a_rollout_file_of_nonsense_is_written_anew_from_the_ledger(settings: Settings, state: Path) -> None:
    rollout.move(state, entry(FULL, service="rag"), expected=0)
    rollout.move(state, entry(), expected=0)
    (state / FILE_NAME).write_text('{"services": "all of them, please"}')
    assert rollout.stored(state)[1] is not None
    assert rollback(settings, "notes").stage is Stage.ROLLED_BACK
    found, problem = rollout.stored(state)
    assert (found.standing("rag"), problem) == (FULL, None)


def test_a_lost_ledger_keeps_what_the_rollout_file_says(settings: Settings, state: Path) -> None:
    rollout.move(state, entry(FULL), expected=0)
    (state / ledger.FILE_NAME).unlink()
    assert rollout.standing(state, "notes") == FULL
    assert rollback(settings, "notes").stage is Stage.ROLLED_BACK


def test_a_rollback_of_a_service_on_ollama_changes_nothing(settings: Settings, state: Path) -> None:
    assert rollback(settings, "notes") == Standing()
    assert history(settings) == []


def test_a_second_rollback_writes_no_second_line(settings: Settings, state: Path) -> None:
    rollout.move(state, entry(), expected=0)
    rollback(settings, "notes", "slow")
    rollback(settings, "notes", "slow")
    assert [e.actor for e in history(settings, "notes")] == ["controller", "operator"]


def test_a_controller_whose_standing_was_changed_is_stopped(settings: Settings, state: Path) -> None:
    rollout.move(state, entry(), expected=0)
    rollback(settings, "notes", "slow answers")
    with pytest.raises(Superseded, match="slow answers"):
        rollout.move(state, entry(FULL, CANARY), expected=1)
    assert rollout.stored(state)[0].standing("notes").stage is Stage.ROLLED_BACK


def test_a_killed_act_is_made_good_from_the_ledger(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "fchmod", killed)
        rollout.move(state, entry(), expected=0)
    assert not (state / FILE_NAME).exists()
    assert [p.name for p in state.iterdir() if p.name.startswith(".")] == []
    assert rollout.project(state).standing("notes") == CANARY


def test_a_full_disk_moves_nothing_and_leaves_the_ledger_whole(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    rollout.move(state, entry(), expected=0)
    with monkeypatch.context() as patched, pytest.raises(StateError, match="No space left"):
        patched.setattr(os, "fsync", full)
        rollout.move(state, entry(FULL, CANARY), expected=1)
    assert len(lines(state)) == 1
    assert rollout.stored(state)[0].standing("notes") == CANARY


class TestLock:
    def test_a_second_controller_is_told_who_holds_the_lock_and_since_when(self, state: Path) -> None:
        with (
            rollout.controller_lock(state, service="notes", clock=lambda: "05:00"),
            pytest.raises(LockHeld, match=rf"process {os.getpid()} .* since 05:00") as caught,
            rollout.controller_lock(state, service="rag"),
        ):
            pass
        assert caught.value.pid == os.getpid()

    def test_the_lock_is_free_again_afterwards(self, state: Path) -> None:
        for _ in range(2):
            with rollout.controller_lock(state, service="notes"):
                pass

    def test_a_dead_holder_holds_nothing(self, state: Path) -> None:
        child = multiprocessing.get_context("spawn").Process(target=_die_with_the_lock, args=(state,))
        child.start()
        child.join()
        assert child.exitcode == 9
        with rollout.controller_lock(state, service="notes"):
            pass

    def test_a_rollback_works_while_a_controller_holds_the_lock_and_is_seen_by_it(
        self, settings: Settings, state: Path
    ) -> None:
        with rollout.controller_lock(state, service="notes"):
            assert rollback(settings, "notes", "no").stage is Stage.ROLLED_BACK
            with pytest.raises(Superseded):
                rollout.move(state, entry(), expected=0)

    def test_a_rollback_goes_past_a_holder_that_is_stuck(self, state: Path) -> None:
        waits: list[float] = []
        path = state / ledger.FILE_NAME
        with ledger.held(path) as mine, ledger.held(path, tries=3, sleep=waits.append) as again:
            assert (mine, again, waits) == (True, False, [0.1, 0.1, 0.1])


def _die_with_the_lock(state: Path) -> None:
    with rollout.controller_lock(state, service="notes"):
        os._exit(9)
