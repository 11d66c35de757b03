"""What /proc tells of a process's memory: its own apart from pages of files, and shared pages once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.stack import procfs
from services.stack.procfs import Memory

MIB = 1024 * 1024
HELD = 64
FORKED = f"""
import os, sys
held = bytearray(os.urandom(1) * {HELD * MIB})
child = os.fork()
if not child:
    sys.stdin.read()
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
os.waitpid(child, 0)
"""


def test_memory_of_its_own_is_apart_from_pages_of_files() -> None:
    """An interpreter has both: what it allocated, and the program that it runs."""
    found = procfs.memory(os.getpid())

    assert found.anonymous > MIB
    assert found.files > MIB


def test_pages_that_a_forked_child_shares_count_once_for_both() -> None:
    """A nursery and its child are not twice the interpreter."""
    with subprocess.Popen([sys.executable, "-c", FORKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        both = [procfs.memory(pid).anonymous for pid in (parent.pid, child)]
        parent.communicate()

    assert HELD * MIB <= sum(both) < 1.5 * HELD * MIB
    assert min(both) > HELD * MIB / 4


def test_a_process_that_is_gone_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()

    assert procfs.memory(ended.pid) == Memory()


def test_without_a_rollup_the_whole_of_each_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without it, or one that does not show another user's. The folder stands in for /proc."""
    (tmp_path / "7").mkdir()
    lines = "Name:\trag\nVmSwap:\t    2 kB\nRssAnon:\t  100 kB\nRssFile:\t   50 kB\nRssShmem:\t    4 kB\nThreads:\t3\n"
    (tmp_path / "7" / "status").write_text(lines)
    monkeypatch.setattr(procfs, "PROC", tmp_path)

    assert procfs.memory(7) == Memory(anonymous=102 * 1024, files=54 * 1024)


def test_swapped_pages_are_still_the_process_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a leak would look flat on a machine that swaps it out."""
    (tmp_path / "7").mkdir()
    lines = "1-2 ---p 0 0:0 0    [rollup]\nPss_Anon:  100 kB\nPss_File:  50 kB\nPss_Shmem:  0 kB\nSwapPss:  900 kB\n"
    (tmp_path / "7" / "smaps_rollup").write_text(lines)
    monkeypatch.setattr(procfs, "PROC", tmp_path)

    assert procfs.memory(7) == Memory(anonymous=1000 * 1024, files=50 * 1024)
