"""Virtual environments from locked requirements, made once and whole.

Standard library only, so that a bare Python can run it:
`python3 -P services/stack/venvs.py --target .venv --requirements requirements/runtime.txt --editable .`
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

if sys.version_info < (3, 11):  # noqa: UP036 - started by whatever `python3` is, before anything else can tell
    sys.exit("Cutover needs Python 3.11 or newer, this is {}.{}; install one and run again".format(*sys.version_info))

STAMP, LOCK, LOG = ".cutover-stamp", ".cutover-lock", "install.log"
POLL_S = 0.1
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "Failed to establish", "ProxyError")

Say = Callable[[str], None]


class InstallError(Exception):
    """An environment could not be made. The message says what, where, and what to do."""


class Cancelled(Exception):
    """Whoever asked for the work has withdrawn it. Nothing half-made counts as done."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an environment holds. Each requirement file is complete, so it is installed alone, in order, without
    looking at dependencies. `fallback_index` is asked where pip's own configuration has no such distribution."""

    target: Path
    requirements: tuple[Path, ...]
    python_version: str
    project: Path | None = None
    need_gb: float = 1.0
    fallback_index: str = ""

    @property
    def python(self) -> Path:
        return self.target / "bin" / "python"

    def fingerprint(self) -> str:
        """Changes whenever the environment would: other requirements, Python, place or project."""
        digest = hashlib.sha256(f"{self.python_version}\0{self.target}\0{self.project}".encode())
        for file in self.requirements:
            try:
                digest.update(hashlib.sha256(file.read_bytes()).digest())
            except OSError as exc:
                raise InstallError(f"cannot read the requirements {file}: {exc.strerror}; run `git status`") from exc
        return digest.hexdigest()

    def is_done(self) -> bool:
        """True when a finished install of exactly this plan is in place."""
        try:
            stamped = (self.target / STAMP).read_text()
        except OSError:
            return False
        return stamped == self.fingerprint() and self.python.exists()


def ensure(
    plan: Plan,
    *,
    python: str,
    env: Mapping[str, str] | None = None,
    say: Say = lambda _: None,
    cancelled: threading.Event | None = None,
) -> bool:
    """Make the environment of `plan` with the interpreter `python`. False when it was there already."""
    if plan.is_done():
        return False
    cancelled = cancelled or threading.Event()
    try:
        plan.target.mkdir(parents=True, exist_ok=True)
        with alone(plan.target, say, cancelled):
            if plan.is_done():
                return False
            _check_disk(plan)
            _empty(plan.target)
            _Install(plan, env, say, cancelled).run(python)
            return True
    except OSError as exc:
        why = exc.strerror or exc
        raise InstallError(f"cannot make {plan.target}: {why}; free space or rights, then again") from exc


@contextlib.contextmanager
def alone(target: Path, say: Say, cancelled: threading.Event) -> Iterator[None]:
    """The only one at work in the folder `target`, among threads and processes; the lock ends with its holder."""
    with (target / LOCK).open("a") as lock:
        waiting = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    say(f"waiting: somebody else is making {target}")
                waiting = True
                if cancelled.wait(POLL_S):
                    raise Cancelled(f"waiting for {target}") from None
        yield


def call(argv: Sequence[str], *, env: Mapping[str, str] | None, log: IO[str], cancelled: threading.Event) -> int:
    """Run a command to its end in a process group of its own, killed whole when we are interrupted or cancelled."""
    child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        while child.poll() is None:
            if cancelled.wait(POLL_S):
                raise Cancelled(argv[0])
        return child.returncode
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _check_disk(plan: Plan) -> None:
    free_gb = shutil.disk_usage(plan.target).free / 1e9
    if free_gb < plan.need_gb:
        raise InstallError(
            f"not enough disk for {plan.target}: {free_gb:.1f} GB free, {plan.need_gb:.1f} GB needed; "
            "free some, or put CUTOVER_HOME or CUTOVER_ENGINES_DIR on a larger disk"
        )


def _empty(target: Path) -> None:
    (target / STAMP).unlink(missing_ok=True)
    for child in target.iterdir():
        if child.name == LOCK:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


@dataclass(frozen=True)
class _Install:
    """One run of venv and pip. The stamp is written last, so that an interrupted install is made again."""

    plan: Plan
    env: Mapping[str, str] | None
    say: Say
    cancelled: threading.Event

    def run(self, python: str) -> None:
        plan, began = self.plan, time.monotonic()
        with (plan.target / LOG).open("w+") as log:
            self.say(f"making {plan.target} (log: {log.name})")
            if self._call([python, "-m", "venv", str(plan.target)], log):
                raise InstallError(
                    f"{python} cannot make a virtual environment: {_tail(log)}; on Debian `apt-get install "
                    f"python3-venv`, or use another Python (log: {log.name})"
                )
            for file in plan.requirements:
                self._pip(file, log)
        if plan.project:
            _add_project(plan, plan.project)
        _write_aside(plan.target / STAMP, plan.fingerprint())
        self.say(f"made {plan.target} in {time.monotonic() - began:.0f} s")

    def _pip(self, file: Path, log: IO[str]) -> None:
        self.say(f"installing {file.name}")
        pip = [str(self.plan.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        pip += ["--retries", "2", "--no-deps", "--require-hashes", "-r", str(file)]
        start = log.seek(0, os.SEEK_END)
        code = self._call(pip, log)
        if code and self.plan.fallback_index and "No matching distribution" in _since(log, start):
            self.say(f"asking {self.plan.fallback_index}")
            code = self._call([*pip, "--extra-index-url", self.plan.fallback_index], log)
        if code:
            raise InstallError(explain(file, _since(log, start), log.name))

    def _call(self, argv: list[str], log: IO[str]) -> int:
        return call(argv, env=self.env, log=log, cancelled=self.cancelled)


def _since(log: IO[str], start: int) -> str:
    log.seek(start)
    return log.read()


def _tail(log: IO[str]) -> str:
    return last_lines(_since(log, 0))


def last_lines(text: str, count: int = 3) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:]) or "it said nothing"


def explain(file: Path, said: str, log: str) -> str:
    """Why pip could not install `file`, judged by what it `said`, and what to do. pip has no exit codes for it."""
    if "No space left" in said:
        cause, do = "the disk is full", "free some space"
    elif any(sign in said for sign in NO_NETWORK):
        cause, do = "the package index cannot be reached", "connect, or point pip at a mirror (`pip config`)"
    elif "DO NOT MATCH THE HASHES" in said:
        cause, do = "a download is not the file that was locked", "check the index that pip uses (`pip config list`)"
    elif "No matching distribution" in said:
        cause, do = "no index has a distribution for this Python and machine", "try another Python, or another index"
    else:
        cause, do = "pip failed", "read the log"
    said = last_lines(said)
    return f"cannot install {file.name}: {cause}. pip said: {said}. Next: {do}, then the same command (log: {log})"


def _add_project(plan: Plan, project: Path) -> None:
    """What an editable install would do, without a build: a path entry and the `cutover` command."""
    site = plan.target / "lib" / f"python{plan.python_version}" / "site-packages"
    (site / "cutover.pth").write_text(f"{project}\n")
    command = plan.target / "bin" / "cutover"
    # a shell line, not `#!python`: that form breaks on long paths and on paths with spaces
    command.write_text(
        f"#!/bin/sh\n'''exec' \"{plan.python}\" \"$0\" \"$@\"\n' '''\n"
        "import sys\n\nfrom services.cli import main\n\nsys.exit(main())\n"
    )
    command.chmod(0o755)


def _write_aside(path: Path, text: str) -> None:
    aside = path.with_name(f"{path.name}.aside")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: exit 0 done or already there, 1 with one line on stderr, 130 interrupted."""
    parser = argparse.ArgumentParser(description="Make a virtual environment from locked requirements, once.")
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--requirements", type=Path, nargs="+", required=True)
    parser.add_argument("--editable", type=Path, help="project folder to put on the path, with its `cutover` command")
    parser.add_argument("--need-gb", type=float, default=1.0)
    args = parser.parse_args(argv)
    plan = Plan(
        target=args.target.absolute(),
        requirements=tuple(file.absolute() for file in args.requirements),
        python_version="{}.{}".format(*sys.version_info),
        project=args.editable.resolve() if args.editable else None,
        need_gb=args.need_gb,
    )
    try:
        ensure(plan, python=sys.executable, say=lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201
    except InstallError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the next run starts this step again\n")
        return 130
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
