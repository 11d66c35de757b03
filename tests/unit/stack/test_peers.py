"""The peers' environment: which one is taken, and what is said when it cannot be made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from services import settings as settings_room
from services.settings import Settings
from services.stack import peers, venvs
from services.stack.errors import StackError
from services.stack.job import Progress


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_room.load({"CUTOVER_HOME": str(tmp_path)})


def test_a_finished_environment_is_taken_as_it_is(settings: Settings, progress: Progress) -> None:
    """Nothing is installed and nothing is said."""
    plan = peers.plan_of(settings)
    plan.python.parent.mkdir(parents=True)
    plan.python.touch()
    (plan.target / venvs.STAMP).write_text(plan.fingerprint())

    assert peers.python(settings, progress) == settings.engines_dir / "peers" / "bin" / "python"
    assert progress.lines == []  # type: ignore[attr-defined]


def test_an_install_that_fails_says_what_and_where(settings: Settings, progress: Progress, tmp_path: Path) -> None:
    """One sentence for people, not pip's traceback."""
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(StackError, match=r"the peers cannot be installed: cannot make .*/file/peers"):
        peers.python(dataclasses.replace(settings, engines_dir=blocked), progress)


@pytest.mark.parametrize("which", peers.Peers)
def test_each_kind_of_peers_has_a_lock_with_hashes_and_a_folder_of_its_own(
    which: peers.Peers, settings: Settings
) -> None:
    """And no address to fetch from: pip's own configuration says where."""
    plan = peers.plan_of(settings, which)
    [lock] = [file.read_text() for file in plan.requirements]

    assert plan.target == settings.engines_dir / which
    assert "--hash=sha256:" in lock
    assert "://" not in lock


def test_the_lock_holds_no_malicious_release() -> None:
    """litellm 1.82.7 and 1.82.8 ran foreign code at every start of Python."""
    locked = (peers.REQUIREMENTS / "peers.txt").read_text()

    assert "litellm==" in locked
    assert "litellm==1.82.7" not in locked
    assert "litellm==1.82.8" not in locked
