"""`cutover doctor --code`: reads a team's Python and tells where it sends what an engine ignores, file by file."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from services.migration import code_lint
from services.migration.code_lint import Hit
from services.migration.errors import CodeError
from services.migration.findings import Finding, Level, compared

SUMMARY, PLACE = "services' code", "code, "
MOST_FILES, MOST_BYTES, LARGEST = 5000, 64 * 2**20, 2**20
"""Files and bytes that are read in all, and the largest file; what a team writes itself is smaller."""

TOLD = 100
"""Places that are findings of their own; the rest is counted."""

LEFT_OUT = frozenset({"__pycache__", "site-packages", "node_modules"})


def code(root: Path) -> list[Finding]:
    """One finding about what was read, then one for each place. Raises `CodeError` where there is nothing to read."""
    skipped: Counter[str] = Counter()
    found: list[tuple[str, Hit]] = []
    files = read = 0
    for path in _python(root, skipped):
        if files == MOST_FILES or read > MOST_BYTES:
            skipped["beyond the most that is read"] += 1
            continue
        data = _bytes(path, skipped)
        if data is None:
            continue
        files, read = files + 1, read + len(data)
        name = path.relative_to(root).as_posix() if path != root else path.name
        found += [(name, hit) for hit in _hits(data, skipped)]
    if not files:
        raise CodeError(f"{root} holds no Python that can be read ({_counted(skipped)}); name the folder of your code")
    return [_summary(files, len(found), skipped), *(_place(name, hit) for name, hit in found[:TOLD])]


def _python(root: Path, skipped: Counter[str]) -> Iterator[Path]:
    """The file, or every .py below the folder. Hidden folders, environments and links are left out and counted."""
    if not root.exists():
        raise CodeError(f"there is no {root}; `--code` takes a file or a folder of your own Python")
    if not os.access(root, os.R_OK):
        raise CodeError(f"{root} is not for this user to read; change its mode, or run as its owner")
    if root.is_file():
        yield root
        return
    for folder, folders, files in os.walk(root):
        for name in sorted(folders):
            path = Path(folder, name)
            if name.startswith(".") or name in LEFT_OUT or path.is_symlink() or (path / "pyvenv.cfg").exists():
                folders.remove(name)
                skipped["folders (hidden, environments, links)"] += 1
        folders.sort()
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def _bytes(path: Path, skipped: Counter[str]) -> bytes | None:
    """None, counted, for what is no text that a person wrote."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            skipped["files (links, larger than 1 MiB)"] += 1
            return None
        data = path.read_bytes()
    except OSError:
        skipped["files that this user may not read"] += 1
        return None
    if b"\0" in data:
        skipped["binary files"] += 1
        return None
    return data


def _hits(data: bytes, skipped: Counter[str]) -> list[Hit]:
    """None, counted, where it is no Python of today, or nested too deep to be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the compiler thinks of their escapes is not ours to say
            return code_lint.hits(data.decode())
    except (SyntaxError, ValueError, RecursionError):
        skipped["files that are no Python 3"] += 1
        return []


def _summary(files: int, places: int, skipped: Counter[str]) -> Finding:
    said = f"{files} Python files read, {places} places found; skipped: {_counted(skipped)}"
    if not places:
        return compared(SUMMARY, said, said)
    more = f"; {places - TOLD} more are not shown: mend these first, then ask again" if places > TOLD else ""
    return compared(SUMMARY, said, said, warn=f"each place is a finding of its own{more}")


def _counted(skipped: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(skipped.items())) or "nothing"


def _place(name: str, hit: Hit) -> Finding:
    """A warning, whatever it is: only who knows the address knows which engine is asked."""
    return Finding(
        check=f"{PLACE}{name}:{hit.line} {hit.what}", level=Level.WARN, ollama=f"{hit.what}: {hit.ollama}",
        vllm=f"{hit.what}: {hit.vllm}",
        next=f"{hit.instead}; where it is meant, write `{code_lint.MEANT}` at the end of that line",
    )  # fmt: skip
