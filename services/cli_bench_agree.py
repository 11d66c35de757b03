"""`cutover bench SERVICE --agree`: the asyncio client, Locust and `vllm bench serve` on one engine, told apart."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from services.agreement import compare, measure
from services.agreement.direct import Target
from services.agreement.marks import AgreementError
from services.cli_commands import Call, Result, recipe
from services.llm.registry import model
from services.stack.local import StackError

ROUNDS, PROMPTS, TOKENS, IN_FLIGHT = 6, 6, 24, 2
"""About a minute and a half on two cores."""


def options(verb: argparse.ArgumentParser) -> None:
    """What the comparison adds to `bench`."""
    group = verb.add_argument_group("--agree")
    group.add_argument("--agree", action="store_true", help="our two clients and vLLM's own, on vLLM itself")
    group.add_argument("--agree-rounds", type=int, default=ROUNDS, metavar="N", help="rounds (default: %(default)s)")


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments lack, for a usage error."""
    return None if 1 <= arguments.agree_rounds <= 100 else "--agree-rounds must be from 1 to 100"


def agree(call: Call) -> Result:
    """Measure and explain. Exit 0 where what the definitions leave over is within the floor, else 2."""
    settings, rounds = call.settings, call.arguments.agree_rounds
    python = settings.engines_dir / "vllm" / "bin" / "python"
    if not python.exists():
        raise StackError(f"vLLM's own client is not at {python}; `cutover up` installs it with the CPU build")
    if settings.vllm_api_key:
        raise StackError(
            "--agree has no way to give Locust and vLLM's client the API key; compare without VLLM_API_KEY"
        )
    step = "agree"
    call.display.begin(step, f"{rounds} rounds")
    try:
        found = measure.measure(
            target(call), rounds=rounds, seed=call.arguments.seed, vllm_python=python, env=call.env,
            on_round=lambda done, total: call.display.note(step, f"round {done} of {total}"),
        )  # fmt: skip
    except AgreementError as exc:
        raise StackError(f"nothing was compared: {exc}; is vLLM up? `cutover status` shows it") from exc
    call.display.end(step)
    document = compare.document(found.blocks) | {
        "load": {"before": found.load[0], "after": found.load[1]},
        "versions": dict(found.versions),
    }
    code = 0 if all(row["agrees"] for row in _rows(document, "differences")) else 2
    return Result(document=document, shown=shown(document), code=code)


def target(call: Call) -> Target:
    """The first prompts of the service's recipe, asked of vLLM without the service around."""
    settings = call.settings
    asked: dict[str, Any] = tomllib.loads(recipe(call.arguments.service).read_text(encoding="utf-8"))
    return Target(
        url=settings.vllm_url,
        model=model(settings.aliases[call.arguments.service], settings.models_file).names["vllm"],
        prompts=[str(item["body"][asked["nonce_field"]]) for item in asked["items"][:PROMPTS]],
        tokens=TOKENS,
        in_flight=IN_FLIGHT,
    )


def shown(document: Mapping[str, Any]) -> list[Any]:
    """What each client reports, then each difference with its reasons, then the machine."""
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("metric", "client", "median ms", "rounds' medians ms"):
        table.add_column(column)
    for row in _rows(document, "readings"):
        spread = f"{_ms(row['least_s'])} to {_ms(row['most_s'])}"
        table.add_row(row["metric"], row["client"], _ms(row["median_s"]), spread)
    told = [Text("As each client reports it", style="bold"), table, Text("Beside the asyncio client", style="bold")]
    for row in _rows(document, "differences"):
        style = "green" if row["agrees"] else "yellow"
        told.append(Text(f"{row['metric']}, {row['client']}: {row['reported_s'] * 1000:+.1f} ms", style=style))
        told += [Text(f"  - {reason}") for reason in row["reasons"]]
    load, versions = document["load"], document["versions"]
    facts = [f"load {load['before']:.2f} before, {load['after']:.2f} after", f"{document['rounds']} rounds"]
    facts += [f"{name} {version}" for name, version in versions.items()]
    return [*told, Text("; ".join(facts))]


def _rows(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = document[name]
    return rows


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
