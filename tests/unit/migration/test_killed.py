"""`kill -9` of the controller at every write that decides: the next one ends where an undisturbed one ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from services.llm.rollout import FILE_NAME, Stage
from services.migration import ledger, rollout
from services.migration.controller import rollback
from services.migration.stages import Action
from tests.unit.migration.house import House, weights
from tests.unit.migration.moving import ALL_STEPS, go, passed, steps

PARTS = 2
"""Every write is killed at once in one of so many tests, so that each stays short."""


def users(house: House) -> None:
    """One poll's traffic. The services' counters outlive the controller: they are kept beside its state."""
    house.attempts["vllm", "none"] += 400
    house.attempts["ollama", "none"] += 400
    (house.home / "counters.json").write_text(json.dumps({f"{p}/{e}": n for (p, e), n in house.attempts.items()}))


def reborn(home: Path) -> House:
    """The world after the controller's death: files and counters, nothing else."""
    house = House(home=home)
    if not (home / "weights").exists():  # written anew they would be other weights, and the verdict expired
        weights(house)
    kept = home / "counters.json"
    if kept.exists():
        house.attempts = Counter({tuple(k.split("/")): n for k, n in json.loads(kept.read_text()).items()})
    return house


def migrated(house: House) -> Action:
    return asyncio.run(go(house, traffic=lambda: users(house))).action


def armed(writes: list[int], last: int | None) -> None:
    """Count each write of the ledger, the rollout file and the watch, and die in one.

    Of the ledger with a line written but not on disk; of the others just renamed, which is when the services see them.
    """
    fsync, rename = os.fsync, Path.replace

    def once() -> None:
        writes.append(len(writes))
        if len(writes) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def synced(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == ledger.FILE_NAME:
            once()
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        found = rename(path, target)
        if target.name == FILE_NAME or target.parent.name == "canary":
            once()
        return found

    os.fsync, Path.replace = synced, renamed  # type: ignore[assignment, method-assign]


def in_a_child(work: Callable[[], None]) -> int:
    """Run it in a process of its own, at once and for real; gives what `waitpid` tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child of a threaded parent only runs our own code
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def writes_of_a_whole_migration(home: Path) -> int:
    told = home / "writes"

    def work() -> None:
        writes: list[int] = []
        armed(writes, None)
        migrated(reborn(home))
        told.write_text(str(len(writes)))

    in_a_child(work)
    return int(told.read_text())


@pytest.mark.parametrize("part", range(PARTS))
def test_a_controller_killed_at_any_write_is_gone_on_with_to_the_same_end(tmp_path: Path, part: int) -> None:
    asyncio.run(passed(reborn(tmp_path / "whole")))
    total = writes_of_a_whole_migration(tmp_path / "whole")
    assert total > 15
    for at in range(1 + part, total + 1, PARTS):
        home = tmp_path / str(at)
        asyncio.run(passed(reborn(home)))

        def die(home: Path = home, at: int = at) -> None:
            armed([], at)
            migrated(reborn(home))

        assert os.WTERMSIG(in_a_child(die)) == signal.SIGKILL
        house = reborn(home)
        migrated(house)
        assert steps(house) == ALL_STEPS, at
        assert rollout.stored(house.state)[0].standing("notes") == rollout.standing(house.state, "notes")
        assert [e.seq for e in ledger.history(house.state / ledger.FILE_NAME)] == [1, 2, 3, 4]


@pytest.mark.parametrize("at", [3, 6, 12])
def test_a_rollback_works_with_the_controller_just_killed_and_both_engines_dead(tmp_path: Path, at: int) -> None:
    """No lock, no torn line and no engine stands in the way; the services read `rolled_back`."""
    asyncio.run(passed(reborn(tmp_path)))

    def die() -> None:
        armed([], at)
        migrated(reborn(tmp_path))

    in_a_child(die)
    house = reborn(tmp_path)
    house.service_down, house.refused = True, frozenset({"ollama", "vllm"})
    assert rollback(house.settings, "notes").stage is Stage.ROLLED_BACK
    assert rollout.stored(house.state)[0].standing("notes").stage is Stage.ROLLED_BACK
