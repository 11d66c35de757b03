"""Environments are made whole or not at all, once, and every failure is one clear line."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.stack import venvs
from services.stack.venvs import Cancelled, InstallError, Plan

SCRIPT = Path(venvs.__file__)

FAKE = """#!/bin/sh
# A Python that can only `-m venv TARGET` and `-m pip install ...`, and notes each call.
echo "$@" >> "{calls}"
case "$2" in
venv) {venv}; mkdir -p "$3/bin" "$3/lib/python3.11/site-packages"; cp "$0" "$3/bin/python" ;;
pip) {pip} ;;
esac
"""


@dataclass
class Fake:
    """A machine's Python whose venv and pip do what a test says."""

    folder: Path

    def python(self, pip: str = "true", venv: str = "true") -> str:
        file = self.folder / "python"
        file.write_text(FAKE.format(calls=self.folder / "calls", pip=pip, venv=venv))
        file.chmod(0o755)
        return str(file)

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "lock.txt").write_text("pkg==1\n")
    return Plan(
        target=tmp_path / "a folder" / "env",
        requirements=(tmp_path / "lock.txt",),
        python_version="3.11",
        need_gb=0.001,
        fallback_index="https://torch.example",
    )


def test_an_environment_is_made_once(plan: Plan, fake: Fake) -> None:
    """The second time nothing is called at all."""
    assert venvs.ensure(plan, python=fake.python()) is True
    calls = fake.calls
    assert venvs.ensure(plan, python=fake.python()) is False

    assert fake.calls == calls
    assert len(calls) == 2
    assert "--no-deps --require-hashes -r" in calls[1]


def test_other_requirements_make_it_again_from_nothing(plan: Plan, fake: Fake) -> None:
    """What the old ones left behind is gone."""
    venvs.ensure(plan, python=fake.python())
    (plan.target / "stale").write_text("old")
    plan.requirements[0].write_text("pkg==2\n")

    assert venvs.ensure(plan, python=fake.python()) is True
    assert not (plan.target / "stale").exists()


def test_a_failed_install_leaves_no_stamp(plan: Plan, fake: Fake) -> None:
    """So the next run starts it again."""
    with pytest.raises(InstallError):
        venvs.ensure(plan, python=fake.python(pip="exit 1"))

    assert not plan.is_done()
    assert venvs.ensure(plan, python=fake.python()) is True


def test_a_vanished_interpreter_is_not_done(plan: Plan, fake: Fake) -> None:
    """The stamp alone does not run programs."""
    venvs.ensure(plan, python=fake.python())
    plan.python.unlink()

    assert not plan.is_done()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("NewConnectionError: no route", "index cannot be reached.*connect"),
        ("OSError: [Errno 28] No space left on device", "disk is full.*free some space"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "not the file that was locked"),
        ("No matching distribution found for pkg", "for this Python and machine.*another Python"),
        ("surprise", "pip failed. pip said: surprise.*install.log"),
    ],
)
def test_why_pip_failed_is_said_in_one_line(plan: Plan, fake: Fake, said: str, message: str) -> None:
    """What, where, pip's last words, what to do, and the log."""
    with pytest.raises(InstallError, match=message) as failure:
        venvs.ensure(plan, python=fake.python(pip=f"echo '{said}'; exit 1"))

    assert "\n" not in str(failure.value)
    assert said in (plan.target / "install.log").read_text()


def test_the_fallback_index_is_asked_where_pip_finds_nothing(plan: Plan, fake: Fake) -> None:
    """PyTorch's index, and only after pip's own configuration had its say."""
    only_there = 'case "$*" in *torch.example*) true ;; *) echo No matching distribution; exit 1 ;; esac'

    venvs.ensure(plan, python=fake.python(pip=only_there))

    assert [("torch.example" in call) for call in fake.calls] == [False, False, True]


def test_too_little_disk_is_said_before_anything_starts(plan: Plan, fake: Fake) -> None:
    """With what is free, what is needed, and where else it could go."""
    greedy = Plan(target=plan.target, requirements=plan.requirements, python_version="3.11", need_gb=1e9)

    with pytest.raises(InstallError, match=r"not enough disk .* GB free, 1000000000.0 GB needed.*CUTOVER_ENGINES_DIR"):
        venvs.ensure(greedy, python=fake.python())

    assert fake.calls == []


def test_a_python_without_venv_is_named(plan: Plan, fake: Fake) -> None:
    """Debian splits it off; the message says which package."""
    with pytest.raises(InstallError, match=r"cannot make a virtual environment: No module named venv.*python3-venv"):
        venvs.ensure(plan, python=fake.python(venv="echo No module named venv; exit 1"))


def test_missing_requirements_are_named(plan: Plan, fake: Fake) -> None:
    """Somebody deleted a tracked file."""
    plan.requirements[0].unlink()

    with pytest.raises(InstallError, match=r"cannot read the requirements .*lock\.txt"):
        venvs.ensure(plan, python=fake.python())


def test_two_at_once_install_once(plan: Plan, fake: Fake) -> None:
    """The second waits for the first and finds it done."""
    said: list[str] = []
    python = fake.python(pip="sleep 0.5")
    made: list[bool] = []
    both = [
        threading.Thread(target=lambda: made.append(venvs.ensure(plan, python=python, say=said.append)))
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert sorted(made) == [False, True]
    assert len(fake.calls) == 2
    assert any("somebody else is making" in line for line in said)


def test_cancelling_kills_pip_and_what_it_started(plan: Plan, fake: Fake) -> None:
    """Nothing goes on downloading after Ctrl-C, and nothing counts as done."""
    pid_file = fake.folder / "pid"
    python = fake.python(pip=f'sleep 300 & echo $! > "{pid_file}.aside"; mv "{pid_file}.aside" "{pid_file}"; wait')
    cancelled = threading.Event()
    threading.Thread(target=lambda: (_until(pid_file.exists), cancelled.set())).start()

    with pytest.raises(Cancelled):
        venvs.ensure(plan, python=python, cancelled=cancelled)

    _until(lambda: not _lives(int(pid_file.read_text())))
    assert not plan.is_done()


def test_the_command_of_the_project_runs_from_the_environment(plan: Plan, fake: Fake, tmp_path: Path) -> None:
    """`cutover` lands in bin/, on paths with spaces too, and the project is importable."""
    project = Plan(
        target=plan.target, requirements=plan.requirements, python_version="3.11", project=tmp_path, need_gb=0.001
    )
    venvs.ensure(project, python=fake.python())
    command = plan.target / "bin/cutover"
    subprocess.run([command, "status"], check=True)

    assert fake.calls[-1] == f"{command} status"
    assert (plan.target / "lib/python3.11/site-packages/cutover.pth").read_text() == f"{tmp_path}\n"
    assert "from services.cli import main" in command.read_text()


def test_without_network_the_script_ends_in_one_line(tmp_path: Path) -> None:
    """Real venv, real pip, an index where nobody listens; exit 1."""
    (tmp_path / "lock.txt").write_text("no-such-package==1 --hash=sha256:" + "0" * 64 + "\n")
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PATH": os.defpath}
    done = subprocess.run(_command(tmp_path), env=nowhere, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "index cannot be reached" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_the_script_without_a_stamp(tmp_path: Path) -> None:
    """Exit 130, and the next run begins again."""
    (tmp_path / "lock.txt").write_text("# nothing\n")
    running = subprocess.Popen(_command(tmp_path), stderr=subprocess.PIPE, text=True)
    _until((tmp_path / "env/install.log").exists)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()

    assert running.returncode == 130
    assert said.splitlines()[-1] == "interrupted; the next run starts this step again"
    assert not (tmp_path / "env" / venvs.STAMP).exists()


def test_an_old_python_is_told_which_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is what `make run` starts first, with whatever `python3` is."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))

    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, this is 3\.9"):
        runpy.run_path(str(SCRIPT))


def _command(folder: Path) -> list[str]:
    options = ["--target", str(folder / "env"), "--requirements", str(folder / "lock.txt"), "--need-gb", "0.01"]
    return [sys.executable, "-P", str(SCRIPT), *options]


def _lives(pid: int) -> bool:
    from services.stack import procfs

    found = procfs.stat(pid)
    return found is not None and found.is_alive


def _until(claim: Callable[[], bool]) -> None:
    for _ in range(6000):
        if claim():
            return
        time.sleep(0.01)
    pytest.fail("it never came true")
