"""A peer behind its driver: here the openai SDK, which is installed anyway; the others have their own environment."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from services.faults import peer
from services.faults.catalogue import CATALOGUE
from services.faults.runner import run, score
from services.faults.stage import Draw

BY_ID = {fault.id: fault for fault in CATALOGUE}
PYTHON = Path(sys.executable)
PLAYS = 2
PATIENT = replace(Draw.of("1"), deadline_s=120.0)
"""The SDK's own limit hangs up as well, but long after its caller's leaving has been judged."""

EXPECTED = {"passed": 3, "total": 5, "failed": ["refused", "no-finish"], "safe": ["refused"]}


async def test_the_sdk_alone_is_judged_by_the_same_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs up when its caller leaves, retries what it may, has no fallback and says so, and shows half a stream.

    What fails because a busy machine holds up the driver's process, which nobody sees here, is played again.
    """
    monkeypatch.setattr("services.faults.plays.CLOSED_S", 20.0)  # that it hangs up is what is judged here, not how soon
    monkeypatch.setattr(Draw, "of", classmethod(lambda cls, seed: replace(PATIENT, seed=seed)))
    names = ("no-done", "500-once", "leaves-midway", "refused", "no-finish")
    async with peer.started("openai", PYTHON, tmp_path / "log") as subject:
        for _ in range(PLAYS):
            rows = await run([BY_ID[name] for name in names], subject, seed=1)
            if score(rows) == EXPECTED:
                break
        versions = dict(subject.versions)

    assert score(rows) == EXPECTED
    assert set(versions) == {"openai"}


async def test_a_peer_that_cannot_be_imported_is_quoted(tmp_path: Path) -> None:
    """It is not judged, and nothing is made up for it."""
    with pytest.raises(peer.PeerError, match="ModuleNotFoundError"):
        async with peer.started("litellm", PYTHON, tmp_path / "log"):
            pass
