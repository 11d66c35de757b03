"""Where a service's own log lines go: one JSON object per line on standard error, for the process that runs it."""

from __future__ import annotations

import logging


def to_stderr() -> None:
    """Let the `cutover` loggers write. Called once, by the process's bootstrap; calling it again changes nothing."""
    logger = logging.getLogger("cutover")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
