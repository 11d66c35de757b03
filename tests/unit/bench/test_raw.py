"""The raw file: whole blocks on disk, shared by processes, and a run that stops when the disk takes no more."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bench.conftest import ROOT, FakeService, Locust, clean_environment, free_port

Bench = Callable[[str], Any]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """A disk that is full at `size` bytes a file: it takes a part of the write, then refuses."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_block_that_does_not_fit_leaves_no_trace(bench: Bench, tmp_path: Path) -> None:
    """Half a line would spoil the whole lines after it."""
    raw, path = bench("_raw"), tmp_path / "raw.jsonl"
    raw.append(path, ["one\n"])
    with files_end_at(7), pytest.raises(OSError):
        raw.append(path, ["two\n", "three\n"])
    assert path.read_text() == "one\n"
    raw.append(path, ["two\n"])
    assert path.read_text() == "one\ntwo\n"


def test_processes_share_a_file_without_mixing_their_blocks(bench: Bench, tmp_path: Path) -> None:
    path, script = tmp_path / "raw.jsonl", "import sys, _raw, pathlib\n"
    script += "for n in range(20): _raw.append(pathlib.Path(sys.argv[1]), [sys.argv[2] * 5000 + '\\n'] * 3)"
    argv = [[sys.executable, "-c", script, str(path), name] for name in "abc"]
    writers = [subprocess.Popen(words, cwd=ROOT / "bench") for words in argv]
    assert [w.wait(60) for w in writers] == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert len(lines) == 3 * 20 * 3
    assert all(len(set(block)) == 1 and len(block[0]) == 5000 for block in zip(*[iter(lines)] * 3, strict=True))


def test_a_keeper_keeps_what_it_could_not_write_and_tells_once(bench: Bench, tmp_path: Path) -> None:
    keeper, told = bench("_raw").Keeper(), []
    keeper.open(tmp_path / "gone" / "raw.jsonl", told.append)
    keeper.add("one\n")
    keeper.flush()
    keeper.flush()
    assert len(keeper) == len(told) == 1
    (tmp_path / "gone").mkdir()
    keeper.flush()
    assert (len(keeper), (tmp_path / "gone" / "raw.jsonl").read_text()) == (0, "one\n")


@pytest.mark.parametrize("spread", [(), ("--processes", "2")], ids=["one process", "two processes"])
def test_a_full_disk_stops_the_run_and_is_told(locust: Locust, spread: tuple[str, ...]) -> None:
    """Long before its time is over, with the number of requests that no file holds."""
    port = str(free_port())
    ports = ("--master-port", port, "--master-bind-port", port) if spread else ()
    run = locust(
        *("-f", "bench/notes.py", "-u", "2", "-r", "2", "-t", "300s", "--raw", "/dev/full", *spread, *ports),
        enough=lambda _: False,
    )
    assert run.code == 1
    assert "cannot write /dev/full: No space left on device; the load stops" in run.shown
    assert "requests are not in /dev/full" in run.shown


def test_a_terminated_run_has_every_finished_request_on_disk(service: FakeService, tmp_path: Path) -> None:
    """SIGTERM ends a block early; nothing that Locust counted is missing from the file."""
    raw = tmp_path / "raw.jsonl"
    command = [sys.executable, "-m", "locust", "-f", "bench/notes.py", "--headless", "--json", "-u", "1"]
    with subprocess.Popen(
        [*command, "--raw", str(raw)], cwd=ROOT, env=clean_environment(service), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while not raw.exists() and process.poll() is None:
            pass
        process.terminate()
        out, _ = process.communicate(timeout=30)
    counted = next(row for row in json.loads(out) if row["method"] == "POST")["num_requests"]
    assert len(raw.read_text().splitlines()) >= counted > 0
