"""The `cutover` command: parses, calls, prints. What each verb does is in the rooms; exit codes are in `EXIT_CODES`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console

from services import (
    cli_backup,
    cli_bench,
    cli_calibrate,
    cli_containers,
    cli_doctor,
    cli_eval,
    cli_faults,
    cli_keys,
    cli_live,
    cli_overhead,
    cli_plan,
    cli_plan_models,
    cli_record,
    cli_reindex,
    cli_revive,
    cli_run,
    cli_sample,
)
from services import cli_commands as commands
from services.cli_show import Display
from services.llm.registry import RegistryError
from services.llm.sizing import PlanError
from services.migration.errors import MigrationError
from services.migration.verdict import VerdictError
from services.settings import SERVICES, SettingsError, load
from services.stack.compose import NoEngine
from services.stack.local import StackError
from services.store.errors import StoreError
from services.web.keys import KeysError

EXIT_CODES = """exit codes: 0 done or pass, 1 fail, 2 inconclusive or invalid or nothing decided, 64 usage, \
69 an engine or service cannot be reached, 130 interrupted"""
USAGE, UNREACHABLE = 64, 69


VERBS: Mapping[str, Callable[[commands.Call], commands.Result]] = {
    "run": cli_run.run,
    "up": cli_containers.up,
    "down": cli_containers.down,
    "status": commands.status,
    "sample": cli_sample.sample,
    "models": cli_plan_models.listed,
    "plan": cli_plan.plan,
    "doctor": cli_doctor.examine,
    "record": cli_record.record,
    "keys": cli_keys.keys,
    "backup": cli_backup.backed_up,
    "gate": cli_calibrate.gate,
    "bench": cli_bench.bench,
    "eval": cli_eval.evaluation,
    "reindex": cli_reindex.reindex,
    "migrate": commands.migrate,
    "rollback": commands.rollback,
    "switch": cli_containers.switch,
    "revive": cli_revive.revive,
    "history": commands.history,
    "report": cli_live.report,
    "faults": cli_faults.faults,
    "overhead": cli_overhead.overhead,
}

LACKS: Mapping[str, Callable[[argparse.Namespace], str | None]] = {
    "gate": cli_calibrate.missing,
    "bench": cli_bench.missing,
    "eval": cli_eval.missing,
    "report": cli_live.missing,
    "keys": cli_keys.missing,
}
"""What a verb's arguments still lack, where argparse itself cannot tell."""


class Parser(argparse.ArgumentParser):
    """argparse with the exit code 64 that scripts can tell from a verdict."""

    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"cutover: {message}; see `cutover --help`\n")


class Verb(Protocol):
    """Adds one verb and gives back its parser. `service` says whether it names one, `any` where it may be left out."""

    def __call__(self, name: str, help: str, *, service: str | None = None) -> argparse.ArgumentParser: ...


def parser() -> argparse.ArgumentParser:
    """Every verb with its arguments. Tests and documentation read it."""
    top = Parser(prog="cutover", description=__doc__, epilog=EXIT_CODES)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)

    def verb(name: str, help: str, *, service: str | None = None) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=help, description=help)
        made.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
        if service:
            made.add_argument("service", choices=SERVICES, nargs=None if service == "one" else "?")
        return made

    _stack(verb)
    _evidence(verb)
    _moves(verb)
    cli_overhead.add_options(verb("overhead", "CPU time of the client beside raw HTTP, the openai SDK and LiteLLM"))
    cli_faults.arguments(verb("faults", "play every fault of docs/FAULTS.md against the client, or kill real engines"))
    return top


def _stack(verb: Verb) -> None:
    """What brings things up, and says how they are."""
    run = verb("run", "bring everything up, then doctor, gate and migrate each service; ends with one table")
    _measuring(run)
    run.add_argument("--demo", action="store_true", help="show the move even without a pass; marked in the ledger")
    run.add_argument("--svg", metavar="FILE", help="save the final table as a picture")
    cli_containers.options(verb("up", "start engines and services and leave them running"))
    cli_containers.options(verb("down", "stop exactly what `up` or `run` started"))
    status = verb("status", "where each service stands, which engines answer, how fast, and who is at work")
    status.add_argument(
        "--watch", nargs="?", type=_seconds, const=2.0, metavar="SECONDS", help="look again and again, each 2 s or so"
    )
    verb("sample", "give RAG the sample documents, which the shipped questions are about")
    cli_keys.options(verb("keys", "API keys of the services: add one, list them, revoke one"))
    cli_backup.options(verb("backup", "copy what one service stores, while it runs", service="one"))
    cli_reindex.options(verb("reindex", "make every vector of RAG anew, for another embedding model"))
    cli_plan_models.options(verb("models", "the registry: list it, see what fits a card, check it, add to it"))
    cli_plan.options(verb("plan", "whether a model fits a card beside Ollama, how many requests, which arguments"))
    cli_revive.options(verb("revive", "restart a vLLM container that is up but no longer generates, if it is right to"))


def _evidence(verb: Verb) -> None:
    """What looks and measures, and moves nothing."""
    cli_doctor.options(verb("doctor", "compare the two engines for one service, request by request", service="one"))
    cli_record.options(verb("record", "capture real requests of one service, redacted, to gate on them", service="one"))
    gate = verb("gate", "measure both engines through one service and judge", service="any")
    _measuring(gate)
    _own_recipe(gate)
    cli_calibrate.options(gate)
    gate.add_argument("--from", dest="raw", metavar="RAW", help="judge a raw file again instead of measuring")
    cli_eval.options(verb("eval", "how well RAG finds, how well NER reads, or a day's work of all three services"))
    cli_bench.options(verb("bench", "throughput and waiting time by users, both engines", service="any"))
    cli_live.options(verb("report", "write the report of one service again, or with --live all boards", service="any"))


def _moves(verb: Verb) -> None:
    """What moves a service, and what tells how it was moved."""
    migrate = verb("migrate", "doctor, gate, then canary 5 -> 25 -> 50 -> full, each step on evidence", service="one")
    _measuring(migrate)
    _own_recipe(migrate)
    migrate.add_argument("--demo", action="store_true", help="move without a pass; marked as such in the ledger")
    migrate.add_argument("--watch", action="store_true", help="stay after full and guard until the holdback is over")
    rollback = verb("rollback", "send one service back to Ollama, now", service="one")
    rollback.add_argument("--reason", default="asked for by hand", help="what the ledger will say")
    pin = verb("switch", "pin one service of a compose stack to an engine, its container made anew", service="one")
    cli_containers.switch_options(pin)
    verb("history", "the ledger: every move, who made it and why", service="any")


def _measuring(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--rounds", type=_positive, default=commands.FIRST_ROUNDS, help="paired rounds (default: %(default)s)"
    )
    verb.add_argument("--seed", type=int, default=1, help="draws the order within rounds (default: %(default)s)")


def _own_recipe(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--recipe", metavar="FILE", help="a recipe of your own, as `cutover record` writes them")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3600:  # also refuses nan
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.2 to 3600")
    return seconds


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, complete; else the process exits with 64."""
    top = parser()
    arguments = top.parse_args(argv)
    lacks = LACKS.get(arguments.verb)
    lacking = lacks(arguments) if lacks else None
    if lacking:
        top.error(lacking)
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the process exits with what this returns."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    arguments = _arguments(argv)
    console = Console(stderr=arguments.json)
    try:
        settings = load(os.environ)
        with Display(console) as display:
            call = commands.Call(arguments=arguments, settings=settings, display=display, env=dict(os.environ))
            result = VERBS[arguments.verb](call)
    except SettingsError as exc:
        return _complain([*exc.problems, "see .env.example for every variable"], USAGE)
    except PlanError as exc:
        return _complain([f"{exc}; see `cutover {arguments.verb} --help`"], USAGE)
    except NoEngine as exc:
        return _complain([str(exc)], UNREACHABLE)
    except (StackError, RegistryError, VerdictError, KeysError, StoreError) as exc:
        return _complain([str(exc)], 1)
    except MigrationError as exc:
        return _complain([str(exc)], exc.exit_code)
    except KeyboardInterrupt:
        return _complain(
            ["interrupted; what this command had started is stopped, `cutover status` shows the rest"], 130
        )
    if arguments.json:
        if result.document is not None:
            print(json.dumps(result.document, indent=2, default=str))
    else:
        for part in result.shown:
            console.print(part)
    return result.code


def _as_interrupt(signum: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def _complain(sentences: Sequence[str], code: int) -> int:
    for sentence in sentences:
        print(f"cutover: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
