"""The doctor: runs every check on both engines and through the service, and keeps the findings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from services.migration import findings, parity, probes, workload
from services.migration.asking import Asker
from services.migration.engines import engines
from services.migration.findings import Finding, Level
from services.migration.measure import MARGIN_S, WORLD, Seams
from services.migration.rollout import write_aside
from services.settings import Settings

OWN_PROMPTS = 2  # items of the recipe that are sent through the service, on both arms


def _silent(_check: str) -> None:
    """Tells nobody."""


async def doctor(
    settings: Settings,
    service: str,
    recipe: Path,
    token: str,
    *,
    on_check: Callable[[str], None] = _silent,
    seams: Seams = WORLD,
) -> list[Finding]:
    """Every finding about one service, also written to the state folder. Raises `EngineUnreachable`."""
    found = workload.load(recipe, service=service)
    async with seams.connect() as client:
        pair = engines(settings, service, client)
        on_check("what the engines are")
        said = await parity.static(pair)
        said.append(probes.sampling(pair))
        for probe in probes.BEHAVIOUR:
            on_check(probe.__name__.replace("_", " "))
            said.append(await probe(pair))
            if probe is probes.generates and said[-1].level is Level.FAIL:
                return _kept(settings, service, said)
        on_check("prompt tokens")
        said += await parity.counts(pair)
        asker = Asker(
            client=client, url=settings.service_url(service), workload=found, token=token,
            limit_s=settings.limits.deadline_s + MARGIN_S, clock=seams.clock,
        )  # fmt: skip
        said += await parity.through_service(asker, [i.id for i in found.items[:OWN_PROMPTS]])
    return _kept(settings, service, said)


def _kept(settings: Settings, service: str, said: list[Finding]) -> list[Finding]:
    path = findings_path(settings.state_dir, service)
    write_aside(path, json.dumps({"findings": [findings.document(f) for f in said]}, indent=2) + "\n")
    return said


def findings_path(state_dir: Path, service: str) -> Path:
    return state_dir / "doctor" / f"{service}.json"


def saved(state_dir: Path, service: str) -> list[Finding]:
    """The latest findings; none where there are none or they cannot be read."""
    try:
        document = json.loads(findings_path(state_dir, service).read_text())
        return [Finding(**{**f, "level": Level(f["level"])}) for f in document["findings"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
