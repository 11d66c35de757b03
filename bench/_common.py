"""What the three locustfiles share: arguments, what listens to Locust's events and messages, recipes.

Locust is the load and the live picture, not the judge: its table rounds percentiles to two digits (1049 ms is shown as
1000), so `cutover gate` never reads it. For numbers to compute with, add `--raw FILE`. The load is a closed loop, in
which a slow service is asked less often, unless `--rate` makes it an open one; docs/BENCH.md tells both.

`locust -f bench/` loads every .py here whose name has no leading underscore, with this folder first in `sys.path`;
hence the plain `import _common`, which works for `-f bench/`, `-f bench/rag.py` and from any working directory.
"""

from __future__ import annotations

import functools
import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _arrivals
import _raw
import _records
import _turns
from _conductor import LOG, Conductor, Plan
from locust import events
from locust.runners import WorkerRunner

URLS = {"rag": "http://127.0.0.1:8501", "notes": "http://127.0.0.1:8502", "ner": "http://127.0.0.1:8503"}
ROUNDS = 20  # turns of fewer rounds hardly tell a third slower from noise
TALLY, KEEPER, DESK = _records.Tally(), _raw.Keeper(), _turns.Desk()
NOT_KEPT = "cutover_not_kept"


@events.init_command_line_parser.add_listener
def add_arguments(parser: Any, **_: Any) -> None:
    """Our own arguments; each also in the web UI, apart from the file."""
    for service, url in URLS.items():
        parser.add_argument(
            f"--{service}-url", env_var=f"{service.upper()}_URL", default=url, help=f"base URL of {service}"
        )
    parser.add_argument(
        "--arm",
        default="",
        choices=["", "vllm", "ollama", "alternate"],
        help="ask this provider first, whatever the stage (another's answer then counts as a failure), or take turns",
    )
    number, rate = _number(int, least=0), _number(float, least=0)
    parser.add_argument("--rounds", type=number, default=0, help=f"end after so many (alternate: {ROUNDS} without it)")
    parser.add_argument(
        "--round-requests", type=_number(int, least=1), default=10, help="a round's, per service and arm"
    )
    parser.add_argument("--rate", type=rate, default=0.0, help="open loop: so many requests/s per service, Poisson")
    parser.add_argument(
        "--max-in-flight", type=_number(int, least=1), default=64, help="open loop: beyond it, failures"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the order of arms and items, and the arrivals")
    parser.add_argument("--raw", default="", include_in_web_ui=False, help="append one JSON line per request here")


def _number(kind: type[int] | type[float], *, least: int) -> Any:
    def parse(text: str) -> float:
        value = kind(text)
        if not least <= value < float("inf"):
            raise ValueError(text)
        return value

    parse.__name__ = f"number from {least}"  # argparse says: invalid ... value
    return parse


@events.init.add_listener
def prepare(environment: Any, **_: Any) -> None:
    """Refuse what cannot work before any load starts; then listen to the messages of a planned load."""
    options = environment.parsed_options
    if environment.host and len(environment.user_classes) > 1:
        raise SystemExit("--host would send every service's requests to one address; use --rag-url and its siblings")
    if options.arm and not admin_token():
        raise SystemExit("--arm needs the admin token: set ADMIN_TOKEN, or run where .cutover/admin-token is")
    if options.rate and (options.rounds or options.arm == "alternate"):
        raise SystemExit(
            "--rate is an open loop, rounds are a closed one; drop --rate, or --rounds and --arm alternate"
        )
    if options.raw and not Path(options.raw).absolute().parent.is_dir():
        raise SystemExit(f"--raw {options.raw!r}: its folder does not exist; make it first")
    settle(environment)
    conductor, runner = Conductor(environment, DESK), environment.runner
    runner.register_message(_turns.BLOCK, lambda msg, **_: DESK.put(msg.data))
    runner.register_message(_arrivals.SOURCE, lambda msg, **_: DESK.put_sources(msg.data))
    runner.register_message(_turns.DONE, lambda msg, **_: conductor.part_is_done(msg.node_id, **msg.data))
    runner.register_message(NOT_KEPT, lambda msg, **_: conductor.end(msg.data["why"], failed=True))
    if not isinstance(runner, WorkerRunner):
        environment.events.spawning_complete.add_listener(lambda **_: conductor.begin(plan_of(environment)))
        environment.events.quit.add_listener(show_tally)


def settle(environment: Any) -> None:
    """Tell each user class where its service is and how many answers it may wait for at once."""
    options = environment.parsed_options
    for user_class in environment.user_classes:
        user_class.host = environment.host or getattr(options, f"{user_class.service}_url")
        user_class.concurrency = options.max_in_flight


def plan_of(environment: Any) -> Plan:
    return Plan.of(environment.parsed_options, rounds=ROUNDS)


@events.test_start.add_listener
def begin(environment: Any, **_: Any) -> None:
    """Also in a worker, which has the master's options from here on."""
    TALLY.drain()
    DESK.open()
    settle(environment)
    if environment.parsed_options.raw:
        KEEPER.open(Path(environment.parsed_options.raw), lambda failure: stop_unkept(environment, failure))


@events.test_stopping.add_listener
def let_go(**_: Any) -> None:
    DESK.close()


@events.test_stop.add_listener
@events.quitting.add_listener
def keep_the_rest(**_: Any) -> None:
    KEEPER.flush()


@events.quit.add_listener
def tell_what_is_lost(**_: Any) -> None:
    """The last chance. Without every line of it on disk, a run does not end well."""
    KEEPER.flush()
    if KEEPER.failure:
        LOG.error(f"{len(KEEPER)} requests are not in {KEEPER.path}; those in it are whole")
        raise SystemExit(1)


def stop_unkept(environment: Any, failure: OSError) -> None:
    """A load whose records are lost is only heat: tell the master, which stops all of it."""
    why = f"cannot write {KEEPER.path}: {failure.strerror}; the load stops. Free space and run again"
    environment.runner.send_message(NOT_KEPT, {"why": why})


@events.report_to_master.add_listener
def send_tally(data: dict[str, Any], **_: Any) -> None:
    data["tally"] = TALLY.drain()


@events.worker_report.add_listener
def receive_tally(data: Mapping[str, Any], **_: Any) -> None:
    TALLY.add(data.get("tally", ()))


def show_tally(**_: Any) -> None:
    """Below Locust's own table, on the same channel (stderr), so that `--json` stays alone on stdout."""
    logger = logging.getLogger("locust.stats_logger")
    for line in TALLY.lines():
        logger.info(line)


@functools.cache
def admin_token() -> str:
    """The token that lets a request choose its provider: the environment's, else the one that `cutover up` made."""
    file = Path(os.environ.get("CUTOVER_HOME") or ".cutover") / "admin-token"
    return os.environ.get("ADMIN_TOKEN") or (file.read_text().strip() if file.is_file() else "")


@functools.cache
def key_headers() -> dict[str, str]:
    """What every request carries where the services have API keys (docs/API.md); the admin token then moves aside."""
    key, file = os.environ.get("CUTOVER_API_KEY"), os.environ.get("CUTOVER_API_KEY_FILE")
    key = key or (Path(file).read_text().strip() if file else "")
    return {"Authorization": f"Bearer {key}"} if key else {}


@functools.cache
def recipe(service: str) -> dict[str, Any]:
    """What the service is asked; `cutover gate` asks the same."""
    return tomllib.loads(Path(__file__).with_name("workloads").joinpath(f"{service}.toml").read_text())
