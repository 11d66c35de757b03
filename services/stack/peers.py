"""The peers that we are compared with, in throw-away environments of their own, one for each file of requirements."""

from __future__ import annotations

import enum
import sys
from pathlib import Path

from services.settings import Settings
from services.stack import venvs
from services.stack.errors import StackError
from services.stack.job import REQUIREMENTS, Progress

STEP = "peers environment"


class Peers(enum.StrEnum):
    """Named as their file in requirements/ and their folder in `engines_dir`: of the client, and of RAG's search."""

    CLIENTS = "peers"
    SEARCH = "search-peers"


NEED_GB = {Peers.CLIENTS: 1.5, Peers.SEARCH: 0.8}


def python(settings: Settings, progress: Progress, which: Peers = Peers.CLIENTS) -> Path:
    """The interpreter of the peers' environment, installed by the first caller. Raises `StackError`.

    `services` is not importable there. Deleting `<engines_dir>/<which>` undoes everything this did.
    """
    plan = plan_of(settings, which)
    if plan.is_done():
        return plan.python
    progress.begin(STEP, str(plan.target))
    try:
        venvs.ensure(plan, python=sys.executable, say=lambda line: progress.note(STEP, line))
    except venvs.InstallError as exc:
        raise StackError(f"the peers cannot be installed: {exc}") from exc
    progress.end(STEP, str(plan.target))
    return plan.python


def plan_of(settings: Settings, which: Peers = Peers.CLIENTS) -> venvs.Plan:
    """The environment as it is locked, for this interpreter's Python."""
    return venvs.Plan(
        target=settings.engines_dir / which.value,
        requirements=(REQUIREMENTS / f"{which.value}.txt",),
        python_version="{}.{}".format(*sys.version_info),
        need_gb=NEED_GB[which],
    )
