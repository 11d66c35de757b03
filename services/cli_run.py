"""`cutover run`: brings everything up, asks a first question, moves the three services, ends with one table."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console, RenderableType
from rich.text import Text

from services import cli_sample, sample
from services import cli_show as show
from services.cli_commands import Call, Result, measured, migrated
from services.cli_doctor import examined
from services.llm.rollout import Standing
from services.migration import controller, report
from services.migration.verdict import Outcome, Verdict, to_json
from services.settings import SERVICES, Settings
from services.stack import local

ORDER = ("notes", "rag", "ner")
"""The simplest service first, so that the first thing to go wrong is easy to understand."""

FIRST_LIMIT_S = 180.0
SVG_WIDTH = 92


def run(call: Call) -> Result:
    """Everything, in order. What this call started is stopped again when it is interrupted."""
    before = _alive(call.settings)
    try:
        local.up(call.settings, call.display, env=call.env)
        cli_sample.load(call)
        _ask_each(call)
        rows = [_moved(call, service) for service in ORDER]
    except KeyboardInterrupt:
        if not before:
            local.down(call.settings, call.display)
        raise
    return _result(call, rows)


def _alive(settings: Settings) -> set[str]:
    return {name for name, state in local.snapshot(settings).items() if state.alive}


def _ask_each(call: Call) -> None:
    document = sample.documents()[0]
    question = sample.questions()[0].question
    asked: Mapping[str, tuple[str, dict[str, Any]]] = {
        "notes": ("/v1/summarize", {"text": document.text[:400]}),
        "rag": ("/v1/ask", {"question": question}),
        "ner": ("/v1/extract", {"text": "Ingrid Solheim works for Haldorsen in Bergen."}),
    }
    with httpx2.Client(timeout=FIRST_LIMIT_S, trust_env=False, headers=call.settings.api_keys.headers()) as http:
        for service in ORDER:
            path, body = asked[service]
            step = f"ask {service}"
            call.display.begin(step, path)
            answer = http.post(f"{call.settings.service_url(service)}{path}", json=body)
            call.display.end(step, _said(answer))


def _said(answer: httpx2.Response) -> str:
    """The beginning of the answer and who gave it; a refusal is shown, not hidden."""
    if answer.status_code != 200:
        return f"{answer.status_code}: {answer.json().get('detail', '')}"[:120]
    body = answer.json()
    found = body.get("answer") or body.get("summary") or ", ".join(e["text"] for e in body.get("entities", ()))
    return f"{body['llm']['provider']}: {' '.join(str(found).split())[:90]!r}"


def _moved(call: Call, service: str) -> dict[str, Any]:
    examined(call, service)
    verdict = measured(call, service)
    if call.arguments.demo and not may_be_shown(verdict.outcome):
        standing = controller.rollback(call.settings, service, f"the verdict is {verdict.outcome}; not even shown")
    else:
        standing = migrated(call, service, demo=call.arguments.demo).standing
    report.write(call.settings.state_dir, service, prices=call.settings.telemetry.prices)
    return summary(service, standing, verdict)


def may_be_shown(outcome: Outcome) -> bool:
    """A demo shows how a move looks where nothing speaks against it; a worse or unmeasurable engine is not shown."""
    return outcome in (Outcome.PASS, Outcome.INCONCLUSIVE)


def summary(service: str, standing: Standing, verdict: Verdict | None) -> dict[str, Any]:
    """One row of the final table. `ratio` is the median time of a whole answer, vLLM over Ollama."""
    row: dict[str, Any] = {
        "service": service,
        "stage": str(standing.stage),
        "share": standing.share,
        "demo": standing.demo,
        "verdict": str(verdict.outcome) if verdict else "none",
        "ratio": None,
        "quality": None,
        "fallbacks": verdict.arms["candidate"].fallbacks if verdict else None,
        "reasons": list(verdict.reasons) if verdict else [],
    }
    for metric in json.loads(to_json(verdict))["metrics"] if verdict else ():
        if (metric["name"], metric["stat"]) == ("e2e", "q50"):
            row["ratio"] = metric
        elif metric["name"] == "quality" and row["quality"] is None:  # the first that the recipe names
            row["quality"] = metric
    return row


def _result(call: Call, rows: list[dict[str, Any]]) -> Result:
    table = show.verdict_table(rows)
    if call.arguments.svg:
        save_svg(table, Path(call.arguments.svg))
    settings = call.settings
    urls = {name: settings.service_url(name) for name in SERVICES}
    urls |= {"vllm": settings.vllm_url, "ollama": settings.ollama_url}
    reports = [str(settings.state_dir / "reports" / f"{s}.html") for s in ORDER]
    document = {"services": rows, "urls": urls, "reports": reports}
    return Result(document=document, shown=[table, *_why(rows), *_where_next(call, urls)])


def _why(rows: list[dict[str, Any]]) -> list[RenderableType]:
    lines = [Text(f"{row['service']}: {reason}") for row in rows for reason in row["reasons"][:2]]
    if any(row["demo"] for row in rows):
        lines.append(
            Text("(demo): the move was shown without a pass. It is marked in the ledger and proves nothing.", "yellow")
        )
    return [Text(""), *lines]


def _where_next(call: Call, urls: Mapping[str, str]) -> list[RenderableType]:
    return [
        Text(""),
        Text("running   " + "  ".join(f"{name} {url}" for name, url in urls.items())),
        Text(f"reports   {call.settings.state_dir / 'reports'}"),
        Text("next      .venv/bin/cutover status                    where everything stands"),
        Text("          .venv/bin/cutover gate notes --rounds 100   a verdict that may move a service"),
        Text("          make down                                   stop exactly what was started"),
    ]


def save_svg(table: RenderableType, path: Path) -> None:
    """The table as a picture, for the README."""
    console = Console(record=True, width=SVG_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(table)
    console.save_svg(str(path), title="make run")
