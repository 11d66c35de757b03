"""`cutover gate --calibrate`: how often is the judge wrong about engines whose truth is known?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from services import cli_commands as commands
from services.cli_commands import Call, Result
from services.migration import calibrate
from services.migration.calibrate import Rate

TITLES = {
    "identical_fail": "identical: fail",
    "worse30_pass": "30 % worse: pass",
    "worse30_fail": "30 % worse: fail",
    "fallback_pass": "fallback: pass",
    "template_not_invalid": "template: valid",
    "rare70x_pass": "70x rare: pass",
    "variance2x_pass": "2x variance: pass",
    "misshapen2_pass": "2 % misshapen: pass",
    "lost10_pass": "10 % lost: pass",
    "worse10_pass": "10 % worse: pass",
    "dead_pass": "dead: pass",
    "dead_fail": "dead: fail",
    "better40_pass": "40 % better: pass",
    "canary_equal_rollback": "equal canary: back",
}


def options(verb: argparse.ArgumentParser) -> None:
    """What calibrating adds to `gate`."""
    verb.add_argument(
        "--calibrate", action="store_true", help="judge simulated engines instead, and print how often it is wrong"
    )
    verb.add_argument(
        "--seeds", type=int, metavar="N", help=f"runs of each engine and noise (default: {calibrate.DEFAULT_SEEDS})"
    )


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments of `gate` lack, for a usage error."""
    if not (arguments.calibrate or arguments.raw) and arguments.service is None:
        return "gate needs a SERVICE (only `gate --calibrate` and `gate --from RAW` do without)"
    if not arguments.calibrate and arguments.seeds is not None:
        return "--seeds goes with --calibrate; the seed of a measured run is --seed"
    return "--seeds must be at least 1" if arguments.seeds is not None and arguments.seeds < 1 else None


def gate(call: Call) -> Result:
    """Judge engines that run, or calibrate on some that do not."""
    return calibrated(call) if call.arguments.calibrate else commands.gate(call)


def calibrated(call: Call) -> Result:
    seeds = call.arguments.seeds or calibrate.DEFAULT_SEEDS
    step = "calibrate"
    call.display.begin(step, f"{seeds} seeds")
    rates = calibrate.calibrate(seeds, on_progress=commands.rounds_on(call.display, step))
    met = calibrate.all_met(rates)
    call.display.end(step, "every target met" if met else "a target is not met")
    said = (
        f"{seeds} seeds under each of two noise models; intervals are exact, 95 %, two-sided. A `never` can only be "
        "bounded: by the upper end of its interval. docs/CALIBRATION.md says what each row is."
    )
    return Result(document=calibrate.document(rates), shown=[table(rates), Text(said)], code=0 if met else 1)


def table(rates: Mapping[str, Rate]) -> Table:
    """Each rate with its interval, its target and whether it is met."""
    made = Table(header_style="bold")
    for column in ("engine: verdict", "rate", "95 % interval", "runs", "target", "result"):
        made.add_column(column, overflow="fold", no_wrap=column != "result")
    for key, rate in rates.items():
        bounds = rate.bounds
        interval = f"{100 * bounds.low:.1f} to {bounds.high:.1%}"
        said = Text(rate.said(), style="" if rate.met else "bold red")
        made.add_row(TITLES[key], f"{rate.rate:.1%}", interval, str(rate.n), str(rate.target), said)
    return made
