"""What /proc tells of a process's memory: its own apart from pages of files, and shared pages once."""

from __future__ import annotations

import os
import subprocess
import sys

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
