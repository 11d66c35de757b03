"""The peers that the client is compared with (requirements/peers.in), in a throw-away environment of their own."""

from __future__ import annotations

import sys
from pathlib import Path

from services.settings import Settings
from services.stack import venvs
from services.stack.errors import StackError
from services.stack.job import REQUIREMENTS, Progress

STEP = "peers environment"
NEED_GB = 1.5


def python(settings: Settings, progress: Progress) -> Path:
    """The interpreter of the peers' environment, installed by the first caller. Raises `StackError`.

    `services` is not importable there. Deleting `<engines_dir>/peers` undoes everything this did.
    """
    plan = plan_of(settings)
    if plan.is_done():
        return plan.python
    progress.begin(STEP, str(plan.target))
    try:
        venvs.ensure(plan, python=sys.executable, say=lambda line: progress.note(STEP, line))
    except venvs.InstallError as exc:
        raise StackError(f"the peers cannot be installed: {exc}") from exc
    progress.end(STEP, str(plan.target))
    return plan.python


def plan_of(settings: Settings) -> venvs.Plan:
    """The environment as it is locked, for this interpreter's Python."""
    return venvs.Plan(
        target=settings.engines_dir / "peers",
        requirements=(REQUIREMENTS / "peers.txt",),
        python_version="{}.{}".format(*sys.version_info),
        need_gb=NEED_GB,
    )
