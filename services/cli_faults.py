"""`cutover faults`: the catalogue against our client and its peers, or real engines killed under load."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services import cli_kills
from services.cli_commands import Call, Result
from services.cli_show import Display
from services.faults import peer, runner
from services.faults.app import Ours
from services.faults.catalogue import CATALOGUE
from services.faults.runner import Row
from services.faults.stage import Fault, Subject
from services.stack import peers as environment
from services.stack.errors import StackError

PACKAGES = ("openai", "ollama", "httpx", "httpx2")
STYLES = {"pass": "green", "safe": "yellow", "fail": "red"}


def arguments(verb: argparse.ArgumentParser) -> None:
    """The options of `cutover faults`."""
    verb.add_argument("--seed", type=int, help="draws order, times and cut points (default: another one each time)")
    verb.add_argument(
        "--only", action="append", choices=[f.id for f in CATALOGUE], metavar="ID", help="this fault alone"
    )
    verb.add_argument(
        "--peer",
        action="append",
        choices=[*peer.NAMES, "all"],
        default=[],
        help="play the faults against this library as well, in an environment of its own",
    )
    cli_kills.arguments(verb)


def faults(call: Call) -> Result:
    """Exit 0 when ours passes every fault, 1 when it fails one, whatever the peers do."""
    if call.arguments.engines:
        return cli_kills.kills(call)
    given = call.arguments.seed
    seed = random.randrange(1_000_000) if given is None else given
    chosen = [f for f in CATALOGUE if not call.arguments.only or f.id in call.arguments.only]
    began = os.getloadavg()[0]
    asked = peer.NAMES if "all" in call.arguments.peer else tuple(dict.fromkeys(call.arguments.peer))
    rows = {"ours": asyncio.run(_played(call.display, chosen, Ours(), seed))}
    versions = {name: metadata.version(name) for name in PACKAGES}
    told: dict[str, Any] = {}
    for name in asked:
        told[name], found = _peer(call, chosen, name, seed)
        if found:
            rows[name] = found
    document: dict[str, Any] = {
        "seed": seed,
        "load": {"before": round(began, 2), "after": round(os.getloadavg()[0], 2), "cpus": os.cpu_count()},
        "versions": versions,
        "ours": runner.score(rows["ours"]),
        "peers": told,
        "faults": _rows(chosen, rows),
    }
    return Result(document=document, shown=_shown(document, rows["ours"]), code=1 if document["ours"]["failed"] else 0)


def _peer(call: Call, chosen: Sequence[Fault], name: str, seed: int) -> tuple[dict[str, Any], list[Row]]:
    """The peer's score, and its rows. One that cannot run here says why and has no rows: it is not made up."""
    nothing = {"passed": 0, "total": 0, "failed": [], "safe": []}
    if name in peer.NOT_INSTALLABLE:
        return {**nothing, "skipped": peer.NOT_INSTALLABLE[name]}, []
    log = call.settings.home / "logs" / f"peer-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        python = environment.python(call.settings, call.display)
        rows, versions = asyncio.run(_peer_played(call.display, chosen, name, python, log, seed))
    except (StackError, peer.PeerError) as exc:
        return {**nothing, "skipped": str(exc)}, []
    return {**runner.score(rows), "versions": versions}, rows


async def _peer_played(
    display: Display, chosen: Sequence[Fault], name: str, python: Path, log: Path, seed: int
) -> tuple[list[Row], Mapping[str, str]]:
    async with peer.started(name, python, log) as subject:
        return await _played(display, chosen, subject, seed), subject.versions


async def _played(display: Display, chosen: Sequence[Fault], subject: Subject, seed: int) -> list[Row]:
    step = f"faults {subject.name}"
    done: list[Row] = []

    def on_row(row: Row) -> None:
        done.append(row)
        display.note(step, f"{len(done)}/{len(chosen)}, {sum(r.passed for r in done)} passed")

    display.begin(step, f"{len(chosen)} faults, seed {seed}")
    rows = await runner.run(chosen, subject, seed=seed, on_row=on_row)
    display.end(step, f"{sum(r.passed for r in rows)} of {len(rows)} passed")
    return rows


def _rows(chosen: Sequence[Fault], subjects: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    return [
        {
            "id": fault.id,
            "source": fault.source,
            "title": fault.title,
            "right": fault.right,
            "subjects": {name: runner.detail(rows[index]) for name, rows in subjects.items()},
        }
        for index, fault in enumerate(chosen)
    ]


def _shown(document: Mapping[str, Any], ours: Sequence[Row]) -> list[RenderableType]:
    scores = {"ours": document["ours"], **document["peers"]}
    load = document["load"]
    title = f"faults, seed {document['seed']}, load {load['before']} to {load['after']} on {load['cpus']} cores"
    table = Table(header_style="bold", title=title, title_justify="left")
    for column in ("fault", "", *scores):
        table.add_column(column, no_wrap=True)
    for row in document["faults"]:
        marks = [row["subjects"][name]["verdict"] if name in row["subjects"] else "-" for name in scores]
        table.add_row(row["id"], row["source"], *(Text(mark, style=STYLES.get(mark, "")) for mark in marks))
    table.add_section()
    table.add_row("passed", "", *(f"{s['passed']}/{s['total']}" if s["total"] else "-" for s in scores.values()))
    skipped = [Text(f"{name}: {s['skipped']}", style="yellow") for name, s in scores.items() if "skipped" in s]
    return [table, *skipped, *_problems(ours)]


def _problems(rows: Sequence[Row]) -> list[RenderableType]:
    return [
        Text(f"! {played.fault}, {played.mode}: {problem}", style="red")
        for row in rows
        for played in row.played
        for problem in played.problems
    ]
