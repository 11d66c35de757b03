"""A state folder in which this user may not write: named with its owner and the way out, never a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.llm.rollout import FILE_NAME
from services.migration import ledger, rollout
from services.migration.controller import rollback
from services.migration.errors import StateError
from services.settings import Settings, load
from tests.unit.migration.test_ledger import entry

WAY_OUT = "<SERVICE>_LLM_PROVIDER=ollama"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"CUTOVER_HOME": str(tmp_path)})


def refused(settings: Settings) -> str:
    with pytest.raises(StateError) as caught:
        rollback(settings, "notes")
    return str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("moved", [True, False])
def test_a_folder_that_is_not_writable_names_its_owner(settings: Settings, moved: bool) -> None:
    state = settings.state_dir
    state.mkdir(parents=True, exist_ok=True)
    if moved:
        rollout.move(state, entry(), expected=0)
        (state / "ledger.lock").unlink()
    state.chmod(0o500)
    told = refused(settings)
    state.chmod(0o700)

    assert str(state) in told and state.owner() in told and WAY_OUT in told


@pytest.mark.parametrize("lock", ["ledger.lock", rollout.LOCK_NAME])
def test_a_lock_that_cannot_be_opened_is_named(settings: Settings, lock: str) -> None:
    """The ledger's where the service was moved, the controller's where it was not; here also for root."""
    state = settings.state_dir
    if lock == "ledger.lock":
        rollout.move(state, entry(), expected=0)
        (state / lock).unlink()
    (state / lock).mkdir(parents=True)
    told = refused(settings)

    assert f"cannot open {state / lock}: Is a directory; its folder belongs to {state.owner()}:" in told
    assert WAY_OUT in told
    assert (state / FILE_NAME).exists() == (lock == "ledger.lock")


def test_who_owns_what_hides_is_who_owns_the_folder_above(tmp_path: Path) -> None:
    """Here a file stands where the state folder should be."""
    (tmp_path / "state").write_text("")
    with pytest.raises(StateError, match=f"belongs to {tmp_path.owner()}"), ledger.held(tmp_path / "state/x/l.jsonl"):
        pass
