"""One function per verb: calls the rooms, gives back an exit code, the JSON document and what to show. No decisions."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services import cli_show as show
from services import cli_status, cli_status_show
from services.cli_show import Display
from services.llm.rollout import Standing
from services.migration import controller, ledger, measure, report
from services.migration.errors import EngineUnreachable, GateError
from services.migration.journey import MigrationResult
from services.migration.records import Gpu
from services.migration.verdict import Outcome, Verdict, to_json
from services.settings import Settings
from services.stack import compose, local, started
from services.stack.memory import Sampler
from services.stack.memory_gpu import Devices

FIRST_ROUNDS = 10
"""Rounds of a first gate: the fewest that the judge accepts, about two minutes on two cores."""

WORKLOADS = Path(__file__).parents[1] / "bench" / "workloads"
EXIT = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 2, Outcome.INVALID: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a verb ends with. `document` is what `--json` prints; None where the verb has printed its own."""

    document: Mapping[str, Any] | None
    shown: Sequence[RenderableType] = ()
    code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Everything that a verb works with."""

    arguments: argparse.Namespace
    settings: Settings
    display: Display
    env: Mapping[str, str]

    def token(self) -> str:
        """The admin token. Raises `EngineUnreachable` where nothing was ever brought up."""
        found = local.admin_token(self.settings)
        if found is None:
            raise EngineUnreachable("there is no admin token, so nothing is up; run `cutover up`, or set ADMIN_TOKEN")
        return found.value


def seams(call: Call) -> measure.Seams:
    """The world as this machine's stack sees it: memory, how the engines were started, which cards there are."""
    return replace(
        measure.WORLD,
        sampler=Sampler(settings=call.settings),
        started=lambda: started.digests(call.settings, compose.place(call.env)),
        gpus=lambda: [Gpu(**asdict(card)) for card in Devices().cards()],
    )


def recipe(service: str) -> Path:
    """The workload of a service as it comes with Cutover."""
    return WORKLOADS / f"{service}.toml"


def chosen_recipe(call: Call, service: str) -> Path:
    """The workload that a verb measures with: the one that `--recipe` names, or the shipped one."""
    own = getattr(call.arguments, "recipe", None)
    return Path(own) if own else recipe(service)


def up(call: Call) -> Result:
    local.up(call.settings, call.display, env=call.env)
    return Result(document={"up": sorted(local.snapshot(call.settings))}, shown=[Text("up; `cutover status` shows it")])


def down(call: Call) -> Result:
    stopped = local.down(call.settings, call.display)
    said = f"stopped: {', '.join(stopped)}" if stopped else "already stopped: nothing of ours was running"
    return Result(document={"stopped": stopped}, shown=[Text(said)])


def status(call: Call) -> Result:
    every_s, as_json = call.arguments.watch, call.arguments.json
    if every_s is not None:
        cli_status_show.watch(call.settings, call.display, every_s, as_json=as_json, env=call.env)
        return Result(document=None)
    document = asyncio.run(cli_status.collect(call.settings, env=call.env))
    return Result(document=document, shown=[cli_status_show.status(document)])


def gate(call: Call) -> Result:
    if call.arguments.raw:
        return _judged(_judged_again(Path(call.arguments.raw), call.arguments.service))
    return _judged(measured(call, call.arguments.service))


def _judged_again(raw: Path, service: str | None) -> Verdict:
    """The verdict of a raw file, of the service that was asked about if one was. Raises `GateError`."""
    verdict = measure.judge_file(raw)
    if service is not None and verdict.service != service:
        raise GateError(
            f"{raw} was measured on {verdict.service}, not on {service}; run `cutover gate {verdict.service} --from "
            f"{raw}`, or name a raw file of {service}"
        )
    return verdict


def measured(call: Call, service: str) -> Verdict:
    """The verdict about one service, its rounds shown as they go."""
    step = f"gate {service}"
    call.display.begin(step, f"{call.arguments.rounds} rounds")
    verdict = asyncio.run(
        measure.gate(
            call.settings,
            service,
            chosen_recipe(call, service),
            call.token(),
            rounds=call.arguments.rounds,
            seed=call.arguments.seed,
            on_progress=rounds_on(call.display, step),
            seams=seams(call),
        )
    )
    call.display.end(step, str(verdict.outcome))
    return verdict


def _judged(verdict: Verdict) -> Result:
    document = json.loads(to_json(verdict))
    head = Text.assemble(
        f"{verdict.service}: ",
        (str(verdict.outcome), show.OUTCOME_STYLES[verdict.outcome]),
        f"  (verdict {verdict.id})",
    )
    reasons = [Text(f"- {reason}") for reason in verdict.reasons]
    return Result(
        document=document, shown=[head, show.metrics_table(document["metrics"]), *reasons], code=EXIT[verdict.outcome]
    )


def migrate(call: Call) -> Result:
    result = migrated(call, call.arguments.service, demo=call.arguments.demo, watch=call.arguments.watch)
    standing = result.standing
    document = {"service": call.arguments.service, **_standing(standing), "reasons": list(result.reasons)}
    said = [Text(f"{call.arguments.service}: {_where(standing)}"), *(Text(f"- {r}") for r in result.reasons)]
    return Result(document=document, shown=said, code=result.exit_code)


def migrated(call: Call, service: str, *, demo: bool, watch: bool = False) -> MigrationResult:
    """Doctor, gate and steps of one service, shown as they go."""
    step = f"migrate {service}"
    call.display.begin(step)
    result = asyncio.run(
        controller.migrate(
            call.settings,
            service,
            chosen_recipe(call, service),
            call.token(),
            demo=demo,
            watch=watch,
            rounds=call.arguments.rounds,
            seed=call.arguments.seed,
            on_progress=rounds_on(call.display, step),
            seams=seams(call),
        )
    )
    call.display.end(step, _where(result.standing))
    return result


def rollback(call: Call) -> Result:
    service = call.arguments.service
    standing = controller.rollback(call.settings, service, call.arguments.reason)
    said = f"{service}: {_where(standing)}; the services see it within a second"
    return Result(document={"service": service, **_standing(standing)}, shown=[Text(said)])


def history(call: Call) -> Result:
    entries = controller.history(call.settings, call.arguments.service)
    table = Table(header_style="bold")
    for column in ("at", "service", "from", "to", "by", "why"):
        table.add_column(column, overflow="fold")
    for e in entries:
        moved = (_where(e.source), _where(e.target)) if e.act is None else ("", e.act)
        table.add_row(e.at, e.service, *moved, e.actor, "; ".join(e.reasons))
    return Result(document={"history": [ledger.document(e) for e in entries]}, shown=[table])


def write_report(call: Call) -> Result:
    settings = call.settings
    path = report.write(settings.state_dir, call.arguments.service, prices=settings.telemetry.prices)
    forms = {"report": path, "html": path.with_suffix(".html"), "data": path.with_suffix(".json")}
    return Result(document={k: str(p) for k, p in forms.items()}, shown=[Text(str(p)) for p in forms.values()])


def rounds_on(display: Display, step: str) -> Callable[[int, int, str], None]:
    """A progress callback that shows rounds under `step`."""

    def on_round(done: int, total: int, note: str) -> None:
        display.note(step, f"{done}/{total} {note}".strip())

    return on_round


def _standing(standing: Standing) -> dict[str, Any]:
    return {"stage": str(standing.stage), "share": standing.share, "demo": standing.demo, "verdict": standing.verdict}


def _where(standing: Standing) -> str:
    share = f" {standing.share:.0%}" if 0 < standing.share < 1 else ""
    return f"{standing.stage}{share}{' (demo)' if standing.demo else ''}"
