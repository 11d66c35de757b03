"""The user's own registry file: entries are added to it whole or not at all. The shipped file is never written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from services.llm.registry import Model, RegistryError, models, parse, read
from services.llm.registry_check import remarks

HEAD = "# Models of your own, laid over the registry that comes with Cutover (docs/MODELS.md).\n"


def add(own: Path, source: Path) -> Mapping[str, Model]:
    """Add the entries of the file `source` to `own`, and give them back. Raises `RegistryError`; then nothing changed.

    An entry that `own` has already is refused, unless it is the very same: adding twice is no error.
    """
    text, new = _text(source), read(source)
    if not new:
        raise RegistryError(f"{source} has no entry; docs/MODELS.md shows one")
    before = _text(own) if own.exists() else HEAD
    present = parse(before, own)
    missing = {alias: entry for alias, entry in new.items() if present.get(alias) != entry}
    taken = [alias for alias in missing if alias in present]
    if taken:
        raise RegistryError(f"{own} has {', '.join(taken)} already, and another one; edit it there")
    if not missing:
        return new
    if len(missing) < len(new):
        raise RegistryError(f"{own} has {', '.join(sorted(set(new) - set(missing)))} already; take it out of {source}")
    wrong = [r for r in remarks({**models(own), **new}) if r.is_error and r.alias in new]
    if wrong:
        raise RegistryError("; ".join(f"{source}: [{r.alias}] {r.text}" for r in wrong))
    after = before.rstrip("\n") + "\n\n" + text.strip("\n") + "\n"
    parse(after, own)
    _write(own, after)
    return new


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise RegistryError(f"cannot read {path}: {exc}") from exc


def _write(path: Path, text: str) -> None:
    """Write aside, fsync, rename, fsync the folder: a reader sees the old file or the new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).replace(path)
        except OSError:
            Path(aside).unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as exc:
        raise RegistryError(f"cannot write {path}: {exc}; set CUTOVER_MODELS to a file that can be written") from exc
