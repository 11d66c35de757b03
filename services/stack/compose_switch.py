"""Moves one service by its own line in `.env`, recreating that container only; and brings the project up and down.

Docker's SDK knows no compose files, so `docker compose` does it, with the files that the running project was made of.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.stack import compose
from services.stack.compose import LABEL, Place
from services.stack.errors import StackError

READY_S = 180
SWITCH_S, STACK_S = 420.0, 7200.0
"""Limits of one `docker compose`: a service that starts anew; a stack that first pulls and builds its images."""

KEPT_LINES = 60

Run = Callable[[Sequence[str], Mapping[str, str], float], tuple[int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What a running project was made of, by the labels on its containers."""

    project: str
    folder: Path
    files: tuple[Path, ...]
    env_files: tuple[Path, ...]

    @property
    def env_file(self) -> Path:
        """The one whose lines win."""
        return self.env_files[-1] if self.env_files else self.folder / ".env"

    def command(self, *words: str) -> list[str]:
        """`docker compose` on this project."""
        named = [w for file in self.files for w in ("--file", str(file))]
        named += [w for file in self.env_files for w in ("--env-file", str(file))]
        return [
            "docker",
            "compose",
            "--project-name",
            self.project,
            "--project-directory",
            str(self.folder),
            *named,
            *words,
        ]


def of(attrs: Mapping[str, Any]) -> Files:
    """The files behind one container. Pure."""
    labels = compose.label_map(attrs)

    def paths(label: str) -> tuple[Path, ...]:
        return tuple(Path(p) for p in labels.get(f"{LABEL}.project.{label}", "").split(",") if p)

    return Files(
        project=labels[f"{LABEL}.project"],
        folder=Path(labels.get(f"{LABEL}.project.working_dir", ".")),
        files=paths("config_files"),
        env_files=paths("environment_file"),
    )


def with_line(text: str, name: str, value: str) -> str:
    """`text` of an .env file with `name` set; comments and other lines as they were. Pure.

    In the place of its last line, else below the commented line that explains it, else at the end.
    """
    lines = text.splitlines()
    own = re.compile(rf"\s*(?:export\s+)?{re.escape(name)}\s*=")
    told = re.compile(rf"\s*#\s*{re.escape(name)}\s*=")
    active = [i for i, line in enumerate(lines) if own.match(line)]
    hints = [i for i, line in enumerate(lines) if told.match(line)]
    if active:
        lines[active[-1]] = f"{name}={value}"
    else:
        lines.insert(hints[-1] + 1 if hints else len(lines), f"{name}={value}")
    return "\n".join(lines) + "\n"


def write_aside(path: Path, text: str) -> None:
    """Replace a settings file, old or new and never half, with the mode it had. Raises `StackError`."""
    path = path.resolve()
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise StackError(f"cannot write {path}: {exc.strerror}; nothing was changed") from exc


def quiet(_line: str) -> None:
    """For whoever does not watch."""


def run(
    argv: Sequence[str], env: Mapping[str, str], limit_s: float, tell: Callable[[str], None] = quiet
) -> tuple[int, str]:
    """Exit code and the last lines it said; each line is told at once, for a build takes minutes.

    Raises `StackError` where there is no `docker`, or it takes too long. Interrupted, it ends what it started.
    """
    try:
        process = subprocess.Popen(
            argv, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
    except FileNotFoundError as exc:
        raise StackError("there is no `docker` command; install Docker's command line with its compose plugin") from exc
    said: deque[str] = deque(maxlen=KEPT_LINES)
    timer = threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        with process:
            for line in process.stdout or ():
                said.append(line.rstrip())
                tell(line.rstrip())
    except BaseException:
        process.terminate()
        raise
    finally:
        late = not timer.is_alive()
        timer.cancel()
    if late:
        raise StackError(f"`{' '.join(argv)}` did not end in {limit_s:.0f} s; `cutover status` shows how far it is")
    return process.returncode, "\n".join(said)


def switch(where: Place | None, service: str, provider: str, env: Mapping[str, str], run: Run = run) -> Files:
    """Pin a service to an engine, or with `auto` give it back to its stage; returns when its new container is ready.

    If that does not come up, the line is as it was and the service is brought up on it again. A value of the shell
    would win over the file and is left out. Raises `StackError`.
    """
    with compose.engine(where) as client:
        assert where is not None  # `engine` has refused that
        files = of(compose.one(client, where.project, service).attrs)
    pin(files, service, provider, env, run)
    return files


def pin(files: Files, service: str, provider: str, env: Mapping[str, str], run: Run) -> None:
    """Write the line, have the container made anew, and take both back if it does not come up."""
    name, path = f"{service.upper()}_LLM_PROVIDER", files.env_file
    before = _text(path)
    write_aside(path, with_line(before, name, provider))
    clean = {k: v for k, v in env.items() if k != name}
    up = files.command("up", "--detach", "--no-deps")
    ready = ["--wait", "--wait-timeout", str(READY_S), service]
    code, said = run([*up, *ready], clean, SWITCH_S)
    if code == 0:
        return
    write_aside(path, before)
    back, again = run([*up, service], clean, SWITCH_S)
    undone = "is back on the line it had" if back == 0 else f"could not be brought back either: {again[-300:]}"
    raise StackError(f"{service} did not come up with {name}={provider} and {undone}; compose said: {said[-800:]}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise StackError(f"cannot read {path}: {exc}; nothing was changed") from exc
