"""Facts about processes and ports, read from /proc. Decides nothing, changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """One line of /proc/PID/stat. `start_ticks` after boot tells two processes with the same pid apart."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    start_ticks: int

    @property
    def is_alive(self) -> bool:
        return self.state not in "ZXx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes. `anonymous` is a process's own, what was swapped out included; `files` are pages of files that it maps.

    Only what is its own has to be somewhere while it runs: pages of files are the system's to take back.
    """

    anonymous: int = 0
    files: int = 0


_SHARED = ("smaps_rollup", ("Pss_Anon", "SwapPss"), ("Pss_File", "Pss_Shmem"))
_WHOLE = ("status", ("RssAnon", "VmSwap"), ("RssFile", "RssShmem"))
"""Which file of a process says what in which lines; `_WHOLE` where the kernel has or shows no `smaps_rollup`."""


def boot_id() -> str:
    """The kernel's name for this boot; a record of another boot speaks of nobody who still lives."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def uptime_s(stat: Stat) -> float:
    """Seconds since the process was started."""
    return float((PROC / "uptime").read_text().split()[0]) - stat.start_ticks / os.sysconf("SC_CLK_TCK")


def stat(pid: int) -> Stat | None:
    """The process, zombies included, or None where there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    head, _, tail = text.rpartition(")")  # the name may hold spaces and brackets
    fields = tail.split()
    return Stat(
        pid=pid,
        name=head.partition("(")[2],
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),
    )


def members(leader: int) -> list[Stat]:
    """The living processes of the session or process group that `leader` opened, itself included."""
    return [s for s in _all() if s.is_alive and leader in (s.session, s.group)]


def descendants(root: int) -> list[Stat]:
    """The living processes below `root` and itself, by who started whom: a session may hold a whole terminal's work."""
    alive = [s for s in _all() if s.is_alive]
    found = [s for s in alive if s.pid == root]
    for known in found:  # grows as it goes
        found += [s for s in alive if s.parent == known.pid]
    return found


def listener(port: int) -> Stat | None:
    """Who listens on the TCP port, where the kernel lets us see it."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(PROC / "net" / table, port)}
    return next((s for s in _all() if inodes and not inodes.isdisjoint(_open_files(s.pid))), None)


def memory(pid: int) -> Memory:
    """What the process holds; nothing where it is gone. A page that several processes hold is shared among them.

    So the parent of forked processes and all of these have together what they take of the machine.
    """
    for file, own, files in (_SHARED, _WHOLE):
        told = _kib(PROC / str(pid) / file)
        if own[0] in told:
            anonymous, mapped = (1024 * sum(told.get(name, 0) for name in names) for names in (own, files))
            return Memory(anonymous=anonymous, files=mapped)
    return Memory()


def _kib(file: Path) -> dict[str, int]:
    """The lines `Name: NUMBER kB` of a file."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}  # gone meanwhile, or not ours to see
    return {fields[0].rstrip(":"): int(fields[1]) for fields in lines if len(fields) == 3 and fields[2] == "kB"}


def _all() -> Iterator[Stat]:
    for name in os.listdir(PROC):  # noqa: PTH208 - names only, thousands of them
        found = stat(int(name)) if name.isdigit() else None
        if found:
            yield found


def _listening(table: Path, port: int) -> Iterator[str]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            yield fields[9]


def _open_files(pid: int) -> set[str]:
    folder, found = PROC / str(pid) / "fd", set()
    try:
        for entry in folder.iterdir():
            found.add(str(entry.readlink()))
    except OSError:
        pass  # gone meanwhile, or not ours to see
    return found
