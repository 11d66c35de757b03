"""One repair of a shared library: it calls its own functions, not namesakes in the program that loads it."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
ENTRY = struct.Struct("<qQ")
DYNAMIC_SEGMENT = 2
RPATH, SYMBOLIC, RUNPATH = 15, 16, 29


def prefer_own_functions(library: Path) -> bool:
    """Turn the library's search path, which must be one of no use, into DT_SYMBOLIC. False: it has that already.

    The file is replaced, not written to, so that a program which runs with it is not disturbed.
    """
    content = bytearray(library.read_bytes())
    entries = {tag: offset for offset, tag in _dynamic_entries(content)}
    if SYMBOLIC in entries:
        return False
    place = entries.get(RPATH, entries.get(RUNPATH))
    if place is None:
        raise ValueError(f"{library} has no search path to give up")
    ENTRY.pack_into(content, place, SYMBOLIC, 0)
    aside = library.with_name(f"{library.name}.aside-{os.getpid()}")
    aside.write_bytes(content)
    shutil.copymode(library, aside)
    aside.replace(library)
    return True


def _dynamic_entries(content: bytearray) -> list[tuple[int, int]]:
    """Offset and tag of each entry of the dynamic section of a 64-bit little-endian ELF file."""
    if len(content) < HEADER.size or not content.startswith(b"\x7fELF\x02\x01"):
        raise ValueError("not a 64-bit little-endian ELF file")
    *_, segments_at, _, _, _, segment_size, count, _, _, _ = HEADER.unpack_from(content)
    found = []
    for number in range(count):
        kind, _, start, _, _, size, _, _ = SEGMENT.unpack_from(content, segments_at + number * segment_size)
        if kind == DYNAMIC_SEGMENT:
            for offset in range(start, start + size, ENTRY.size):
                found.append((offset, ENTRY.unpack_from(content, offset)[0]))
    return found
