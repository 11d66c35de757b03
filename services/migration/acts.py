"""What was done to an engine, such as a restart, as lines of the ledger beside the moves of the services.

A line of this kind moves nobody: its `from` and `to` are the same empty standing, so that readers that know no acts
read it as well, and the rollout file never sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.llm.rollout import Standing
from services.migration import ledger
from services.migration.errors import Superseded


def past(state_dir: Path, engine: str) -> list[ledger.Entry]:
    """Everything done to an engine, oldest first. Raises `LedgerError`: who cannot count must not act."""
    found = ledger.trusted(state_dir / ledger.FILE_NAME)
    return [e for e in found.entries if e.act is not None and e.service == engine]


def write(
    state_dir: Path,
    engine: str,
    act: str,
    *,
    actor: str,
    reasons: Sequence[str],
    evidence: Mapping[str, Any],
    expected: int,
    clock: Callable[[], str] = ledger.now,
) -> ledger.Entry:
    """One line, on disk before the act. Raises `StateError`, and `Superseded` when somebody else acts already.

    `expected` is the number of the engine's last line as the caller knows it, 0 for none.
    """
    path, nowhere = state_dir / ledger.FILE_NAME, Standing()
    entry = ledger.Entry(
        service=engine, source=nowhere, target=nowhere, actor=actor, reasons=tuple(reasons), evidence=evidence, act=act
    )
    with ledger.held(path) as mine:
        last = ledger.read(path).last(engine)
        if not mine or (last.seq if last else 0) != expected:
            raise Superseded(f"another command acts on {engine} already; see `cutover history`")
        return ledger.append(path, entry, at=clock())
