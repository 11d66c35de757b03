"""The measuring processes: the upstream and one worker per interpreter, ended with their parent."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
GOODBYE_S = 5.0

ALONE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
"""LiteLLM asks the network for prices when it is imported, unless told not to; nobody goes through a proxy."""


class OverheadError(Exception):
    """A measuring process could not be started, died or failed. The message says which, and what it said."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The fake upstream, seen from here."""

    url: str

    def recorded(self) -> dict[str, Any]:
        """The body of the latest request."""
        body: dict[str, Any] = json.loads(self._get("recorded"))
        return body

    def pace(self, gap_us: int) -> None:
        """The time between two frames of every later stream."""
        self._get(f"gap/{gap_us}")

    def _get(self, path: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/{path}", timeout=30) as answer:
            read: bytes = answer.read()
            return read


@dataclass(frozen=True, slots=True)
class Worker:
    """A `worker.py` that waits for orders."""

    name: str
    process: subprocess.Popen[str]
    log: IO[str]
    versions: Mapping[str, str]

    def order(self, **order: Any) -> dict[str, Any]:
        """Give an order and wait for what comes of it. Raises `OverheadError`."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has died, which the missing answer tells better
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        return answer(self.name, self.process, self.log)


def answer(name: str, process: subprocess.Popen[str], log: IO[str]) -> dict[str, Any]:
    """The next line of a worker. Raises `OverheadError` where there is none or it tells of an error."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        log.seek(0)
        said = " | ".join(log.read().strip().splitlines()[-3:]) or "nothing"
        raise OverheadError(f"the {name} process ended; it said: {said}")
    told: dict[str, Any] = json.loads(line)
    if "error" in told:
        raise OverheadError(f"the {name} process failed: {told['error']}")
    return told


def cores() -> tuple[int | None, int | None]:
    """A core for the workers and another for the upstream; None where there is no choice."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[-1]) if len(usable) > 1 else (None, None)


@contextlib.contextmanager
def upstream(core: int | None) -> Iterator[Upstream]:
    """A running upstream."""
    argv = [sys.executable, "-P", str(HERE / "upstream.py"), *_core(core)]
    with tempfile.TemporaryFile("w+") as log, _child(argv, log, env=None) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        if not port:
            log.seek(0)
            raise OverheadError(f"the upstream did not start; it said: {log.read().strip() or 'nothing'}")
        yield Upstream(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def worker(name: str, python: Path, url: str, *, core: int | None, env: Mapping[str, str]) -> Iterator[Worker]:
    """A worker of the interpreter `python` that has said its versions. Only ours finds `services`."""
    argv = [str(python), "-P", str(HERE / "worker.py"), "--url", url, *_core(core)]
    if Path(python) == Path(sys.executable):
        argv += ["--path", str(PROJECT)]
    with tempfile.TemporaryFile("w+") as log, _child(argv, log, env={**env, **ALONE}) as process:
        yield Worker(name, process, log, answer(name, process, log)["versions"])


def _core(core: int | None) -> list[str]:
    return [] if core is None else ["--core", str(core)]


@contextlib.contextmanager
def _child(argv: list[str], log: IO[str], *, env: Mapping[str, str] | None) -> Iterator[subprocess.Popen[str]]:
    """Ends when we do, because its stdin does. A session of its own, so that Ctrl-C reaches us alone."""
    child = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env, start_new_session=True
    )
    try:
        yield child
    finally:
        assert child.stdin
        assert child.stdout
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(GOODBYE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
