"""What the three locustfiles share: arguments, one timed request of a recipe, and who answered it.

Locust is the load and the live picture, not the judge: its table rounds percentiles to two digits (1049 ms is shown as
1000), so `cutover gate` never reads it. For numbers to compute with, add `--raw FILE`. The load is a closed loop: a
user asks again when it has its answer, so a slow service is asked less often.

`locust -f bench/` loads every .py here whose name has no leading underscore, with this folder first in `sys.path`;
hence the plain `import _common`, which works for `-f bench/`, `-f bench/rag.py` and from any working directory.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import random
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import _records
import _sse
from locust import FastHttpUser, events, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS
from locust.runners import WorkerRunner

URLS = {"rag": "http://127.0.0.1:8501", "notes": "http://127.0.0.1:8502", "ner": "http://127.0.0.1:8503"}
PAUSE_AFTER_FAILURE_S = 0.5  # a service that refuses at once must not be hammered in a tight loop
TALLY = _records.Tally()


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
        choices=["", "vllm", "ollama"],
        help="ask this provider first, whatever the stage; another's answer then counts as a failure",
    )
    parser.add_argument("--raw", default="", include_in_web_ui=False, help="append one JSON line per request here")


@events.init.add_listener
def prepare(environment: Any, **_: Any) -> None:
    """Refuse what cannot work before any load starts; then tell each user class where its service is."""
    options = environment.parsed_options
    if environment.host and len(environment.user_classes) > 1:
        raise SystemExit("--host would send every service's requests to one address; use --rag-url and its siblings")
    if options.arm and not admin_token():
        raise SystemExit("--arm needs the admin token: set ADMIN_TOKEN, or run where .cutover/admin-token is")
    if options.raw and not Path(options.raw).absolute().parent.is_dir():
        raise SystemExit(f"--raw {options.raw!r}: its folder does not exist; make it first")
    for user_class in environment.user_classes:
        user_class.host = environment.host or getattr(options, f"{user_class.service}_url")
    if not isinstance(environment.runner, WorkerRunner):
        environment.events.quit.add_listener(show_tally)


@events.test_start.add_listener
def forget_last_run(**_: Any) -> None:
    TALLY.drain()


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


def admin_token() -> str:
    """The token that lets a request choose its provider: the environment's, else the one that `cutover up` made."""
    file = Path(os.environ.get("CUTOVER_HOME") or ".cutover") / "admin-token"
    return os.environ.get("ADMIN_TOKEN") or (file.read_text().strip() if file.is_file() else "")


@functools.cache
def recipe(service: str) -> dict[str, Any]:
    """What the service is asked; `cutover gate` asks the same."""
    return tomllib.loads(Path(__file__).with_name("workloads").joinpath(f"{service}.toml").read_text())


class ServiceUser(FastHttpUser):
    """Asks one service for the items of its recipe, in an order of its own, one at a time."""

    abstract = True
    service: ClassVar[str]
    connection_timeout = 5.0
    network_timeout = 150.0  # silence, not duration; longer than the services' own deadline (LLM_DEADLINE_S)

    def on_start(self) -> None:
        self._recipe = recipe(self.service)
        self._deck: list[dict[str, Any]] = []
        self._arm = self.environment.parsed_options.arm
        self._token = admin_token() if self._arm else ""

    @task
    def ask(self) -> None:
        item = self._next_item()
        record = self._exchange(item)
        TALLY.count(record)
        if self.environment.parsed_options.raw:
            _records.append(Path(self.environment.parsed_options.raw), record)
        self._fire("TTFT", record.ttft_ms)
        self._fire("TPOT", record.tpot_ms)
        if record.problem:
            time.sleep(PAUSE_AFTER_FAILURE_S)  # gevent's: locust has patched it

    def _next_item(self) -> dict[str, Any]:
        if not self._deck:
            self._deck = random.sample(self._recipe["items"], len(self._recipe["items"]))
        return self._deck.pop()

    def _body(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The item's body, its prompt made new by a nonce, so that no prefix cache flatters an engine."""
        field = self._recipe["nonce_field"]
        return {**item["body"], field: f"[{random.randrange(16**4):04x}] {item['body'][field]}"}

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"} if self._recipe["stream"] else {}
        if self._arm:
            headers |= {"X-LLM-First": self._arm, "Authorization": f"Bearer {self._token}"}
        return headers

    def _exchange(self, item: Mapping[str, Any]) -> _records.Record:
        """One request, told to Locust as a whole: its time is that of the whole answer, streams included."""
        streams, name = bool(self._recipe["stream"]), f"{self.service} {self._recipe['path']}"
        asking: dict[str, Any] = {"json": self._body(item), "headers": self._headers(), "stream": streams, "name": name}
        at, start = time.time(), time.perf_counter()

        def elapsed_ms() -> float:
            return (time.perf_counter() - start) * 1000

        with self.client.post(self._recipe["path"], catch_response=True, **asking) as response:
            headers_ms = elapsed_ms()
            got = self._read(response, elapsed_ms, streams=streams)
            problem = got.problem or self._provenance_problem(got.llm)
            response.request_meta["response_time"] = got.end_ms
            response.failure(problem) if problem else response.success()
        return _records.Record(
            at=at,
            service=self.service,
            item=item["id"],
            arm=self._arm,
            status=response.status_code,
            problem=problem,
            headers_ms=headers_ms,
            duration_ms=got.end_ms,
            ttft_ms=got.first_token_ms,
            tpot_ms=got.time_per_token_ms(),
            restarts=got.restarts,
            outcome=got.answer.get("outcome"),
            llm=got.llm,
        )

    def _read(self, response: Any, elapsed_ms: Any, *, streams: bool) -> _sse.Stream:
        try:
            response.raise_for_status()
            if streams:
                return _sse.read(lambda: response.stream.readline(b"\n"), elapsed_ms)
            return _sse.Stream(end_ms=elapsed_ms(), answer=json.loads(response.content))
        except FAILURE_EXCEPTIONS as exc:
            return _sse.Stream(end_ms=elapsed_ms(), problem=refusal(response, exc))
        except ValueError as exc:
            return _sse.Stream(end_ms=elapsed_ms(), problem=f"answer is not as promised: {type(exc).__name__}")

    def _provenance_problem(self, llm: Mapping[str, Any]) -> str | None:
        if not llm.get("provider"):
            return "the answer does not say who gave it"
        if self._arm and llm["provider"] != self._arm:
            return f"answered by {llm['provider']}, asked {self._arm}"
        return None

    def _fire(self, kind: str, value_ms: float | None) -> None:
        if value_ms is not None:
            self.environment.events.request.fire(
                request_type=kind,
                name=f"{self.service} {self._recipe['path']}",
                response_time=value_ms,
                response_length=0,
                exception=None,
                context={},
            )


def refusal(response: Any, exc: BaseException) -> str:
    """A failed exchange in few words, the same ones each time, because Locust groups failures by their text."""
    if not response.status_code:
        return f"no answer: {type(exc).__name__}"
    if response.status_code < 400:
        return f"{_sse.CUT}: {type(exc).__name__}"
    try:
        return f"{response.status_code} {json.loads(response.content)['title']}"
    except (*FAILURE_EXCEPTIONS, ValueError, KeyError, TypeError):
        return f"{response.status_code} without a problem document"
