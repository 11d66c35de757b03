"""`cutover doctor`: compares the two engines for one service, and shows what differs with the next step."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services import cli_show as show
from services.cli_commands import Call, Result, recipe, seams
from services.migration import doctor, findings
from services.migration.doctor import Wanted
from services.migration.doctor_wire import Overrides
from services.migration.findings import Finding, Level
from services.stack import local


def options(verb: argparse.ArgumentParser) -> None:
    """What `cutover doctor` takes beside the service."""
    verb.add_argument("--from", dest="recorded", metavar="FILE", help="recorded requests, one JSON object a line")
    verb.add_argument(
        "--waivers", metavar="FILE", help="accepted differences (default: waivers.toml in the state folder)"
    )
    verb.add_argument(
        "--engines-only", action="store_true", help="leave the service out; nothing is kept for a migration"
    )
    verb.add_argument("--code", metavar="PATH", help="also look through your own Python for what an engine ignores")
    verb.add_argument("--all", action="store_true", help="show what both engines said where a check passed, too")
    for engine in ("ollama", "vllm"):
        verb.add_argument(f"--{engine}-url", type=_url, metavar="URL", help=f"another {engine}")
        verb.add_argument(f"--{engine}-model", metavar="NAME", help=f"the model's name on that {engine}")
    verb.add_argument("--embed-url", type=_url, metavar="URL", help="a vLLM that embeds")


def _url(text: str) -> str:
    plain = text.strip().rstrip("/").removesuffix("/v1")
    if not plain.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL; write it like http://127.0.0.1:8000")
    return plain


def examine(call: Call) -> Result:
    """The findings; exit code 1 where one forbids a move."""
    asked = call.arguments
    overrides = Overrides(
        ollama_url=asked.ollama_url or "", vllm_url=asked.vllm_url or "", embed_url=asked.embed_url or "",
        ollama_model=asked.ollama_model or "", vllm_model=asked.vllm_model or "",
    )  # fmt: skip
    wanted = Wanted(
        recorded=Path(asked.recorded) if asked.recorded else None,
        code=Path(asked.code) if asked.code else None,
        waivers=Path(asked.waivers) if asked.waivers else None,
        engines_only=asked.engines_only, overrides=overrides,
    )  # fmt: skip
    found = examined(call, asked.service, wanted=wanted)
    rows = [findings.document(f) for f in found]
    shown = told(found, everything=asked.all)
    return Result(document={"findings": rows}, shown=shown, code=1 if findings.failed(found) else 0)


def told(found: Sequence[Finding], *, everything: bool = False) -> list[RenderableType]:
    """What forbids a move first, then what somebody should read; what passed by name only, unless `everything`."""
    order = (Level.FAIL, Level.WARN, *((Level.PASS,) if everything else ()))
    blocks = [block for level in order for f in found if f.level is level for block in _block(f)]
    passed = [] if everything else [f.check for f in found if f.level is Level.PASS]
    names = Text(f"{len(passed)} passed: {'; '.join(passed)}. `--all` shows what both engines said", "green")
    return [*blocks, *([names] if passed else ())]


def _block(finding: Finding) -> list[RenderableType]:
    head = Text.assemble((f"{finding.level:<5}", show.OUTCOME_STYLES.get(finding.level, "")), (finding.check, "bold"))
    lines = [("Ollama", finding.ollama), ("vLLM", finding.vllm), ("next", finding.next)]
    if finding.waived:
        lines.append(("waived", f"until {finding.waived_until} by {finding.waived_by}: {finding.waived}"))
    table = Table.grid(padding=(0, 1))
    table.add_column(width=4)
    table.add_column(width=6, style="dim")
    table.add_column(overflow="fold")
    for name, text in lines:
        if text:
            table.add_row("", name, Text(text))
    return [head, table, Text("")]


def examined(call: Call, service: str, *, wanted: Wanted = doctor.USUAL) -> list[Finding]:
    """The doctor's findings about one service, shown as they come."""
    step = f"doctor {service}"
    call.display.begin(step)
    token = local.admin_token(call.settings)
    found = asyncio.run(
        doctor.doctor(
            call.settings, service, recipe(service), token.value if token else "",
            wanted=wanted, on_check=lambda c: call.display.note(step, c), seams=seams(call),
        )
    )  # fmt: skip
    levels = [f.level for f in found]
    counted = ", ".join(f"{levels.count(level)} {level}" for level in Level)
    waived = sum(bool(f.waived) for f in found)
    call.display.end(step, counted + (f", {waived} of them waived" if waived else ""))
    return found
