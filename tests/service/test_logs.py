"""A service's own log lines reach standard error, once, and without a prefix that would break their JSON."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from services.web import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The process-wide logger as it was before."""
    logger = logging.getLogger("cutover")
    before = (list(logger.handlers), logger.level, logger.propagate)
    logger.handlers = []
    yield
    logger.handlers, logger.level, logger.propagate = before


def test_lines_are_written_once_and_bare(capsys: pytest.CaptureFixture[str]) -> None:
    """Set up twice, written once."""
    logs.to_stderr()
    logs.to_stderr()
    logging.getLogger("cutover.llm").info("%s", '{"event": "llm.request"}')

    assert capsys.readouterr().err == '{"event": "llm.request"}\n'
