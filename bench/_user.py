"""A user of one service: takes its turn, asks an item of the recipe, times the answer and says who gave it."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import _arrivals
import _records
import _sse
import _turns
from _common import DESK, KEEPER, TALLY, admin_token, key_headers, plan_of, recipe
from _conductor import LOG
from locust import FastHttpUser, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

PAUSE_AFTER_FAILURE_S = 0.5  # a service that refuses at once must not be hammered in a tight loop


class LoadError(Exception):
    """A request that the load itself did not send."""


class ServiceUser(FastHttpUser):
    """Asks one service for the items of its recipe: one at a time, or in an open loop on a schedule."""

    abstract = True
    service: ClassVar[str]
    connection_timeout = 5.0
    network_timeout = 150.0  # silence, not duration; longer than the services' own deadline (LLM_DEADLINE_S)

    def on_start(self) -> None:
        self.use(recipe(self.service))

    def use(self, asked: Mapping[str, Any]) -> None:
        """Ask the items of this recipe."""
        self._recipe = asked
        self._plan = plan_of(self.environment)
        self._deck: list[dict[str, Any]] = []

    @task
    def ask(self) -> None:
        """What there is to do now: the next request, or all the arrivals of a run."""
        if self._plan.is_free:
            if self._asked(self._next_item(), _any_nonce(), self._plan.arms[0]).problem:
                time.sleep(PAUSE_AFTER_FAILURE_S)  # gevent's: locust has patched it
            return
        match DESK.take(type(self).__name__):
            case _turns.Ticket() as ticket:
                self._ask_of_round(ticket)
            case _arrivals.Source() as source:
                self._send_on_schedule(source)
            case None:
                time.sleep(PAUSE_AFTER_FAILURE_S)  # the run is over, and this user is stopped in a moment

    def _ask_of_round(self, ticket: _turns.Ticket) -> None:
        block, position = ticket.block, ticket.position
        plan, items = self._plan, self._recipe["items"]
        item = _turns.item_at(items, seed=plan.seed, size=plan.size, round=block.round, position=position)
        try:
            self._asked(item, ticket.nonce, block.arm, round=block.round, position=position)
        finally:
            if DESK.hand_back():
                self.environment.runner.send_message(_turns.DONE, {"run": ticket.run, "number": block.number})

    def _send_on_schedule(self, source: _arrivals.Source) -> None:
        def ask(due_s: float) -> None:
            self._asked(self._next_item(), _any_nonce(), self._plan.arms[0], due_s=due_s)

        def refuse(_due_s: float) -> None:
            self._keep(self._unsent(self._next_item(), f"not sent: {source.in_flight} in flight"))

        _arrivals.send(
            source,
            ask,
            refuse,
            clock=time.perf_counter,
            closed=DESK.closed,
            patience_s=self.environment.stop_timeout or 0,
            cut_off=lambda n: LOG.warning(f"{self.service}: {n} unanswered at the end and not counted; -s 60 waits"),
        )

    def _next_item(self) -> dict[str, Any]:
        if not self._deck:
            self._deck = random.sample(self._recipe["items"], len(self._recipe["items"]))
        return self._deck.pop()

    def _body(self, item: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """The item's body, its prompt made new by a nonce, so that no prefix cache flatters an engine."""
        field = self._recipe["nonce_field"]
        return {**item["body"], field: f"[{nonce}] {item['body'][field]}"}

    def _path(self, item: Mapping[str, Any]) -> str:
        """Where the item is asked: its own path, else the recipe's."""
        return str(item.get("path", self._recipe["path"]))

    def _name(self, item: Mapping[str, Any]) -> str:
        """Locust tells requests apart by it."""
        return f"{self.service} {self._path(item)}"

    def _headers(self, arm: str) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"} if self._recipe["stream"] else {}
        if arm:
            headers |= {"X-LLM-First": arm, "X-Admin-Token": admin_token()}
        return headers | key_headers()

    def _asked(
        self, item: Mapping[str, Any], nonce: str, arm: str, *, due_s: float | None = None, **place: Any
    ) -> _records.Record:
        record = self._exchange(item, nonce, arm, due_s=due_s, **place)
        self._keep(record)
        name = self._name(item)
        self._fire(name, "TTFT", record.ttft_ms)
        self._fire(name, "TPOT", record.tpot_ms)
        if due_s is not None:
            self._fire(name, "LAG", record.lag_ms)
        return record

    def _exchange(
        self, item: Mapping[str, Any], nonce: str, arm: str, *, due_s: float | None, **place: Any
    ) -> _records.Record:
        """One request, told to Locust as a whole: its time is that of the whole answer, from when it was due."""
        streams = bool(self._recipe["stream"])
        asking: dict[str, Any] = {"json": self._body(item, nonce), "headers": self._headers(arm), "stream": streams}
        at, sent = time.time(), time.perf_counter()
        start = sent if due_s is None else due_s

        def elapsed_ms() -> float:
            return (time.perf_counter() - start) * 1000

        with self.client.post(self._path(item), catch_response=True, name=self._name(item), **asking) as response:
            headers_ms = elapsed_ms()
            got = self._read(response, elapsed_ms, streams=streams)
            problem = got.problem or self._provenance_problem(got.llm, arm)
            response.request_meta["response_time"] = got.end_ms
            response.failure(problem) if problem else response.success()
        return _records.Record(
            at=at,
            service=self.service,
            item=item["id"],
            arm=arm,
            status=response.status_code,
            problem=problem,
            headers_ms=headers_ms,
            duration_ms=got.end_ms,
            lag_ms=(sent - start) * 1000,
            worker=self.environment.runner.worker_index,
            **_times(got),
            **place,
        )

    def _unsent(self, item: Mapping[str, Any], problem: str) -> _records.Record:
        """A request that was due and could not go out: a failure of the load, told like any other."""
        self._fire(self._name(item), "POST", 0.0, problem)
        return _records.Record(
            at=time.time(),
            service=self.service,
            item=item["id"],
            arm=self._plan.arms[0],
            status=0,
            problem=problem,
            headers_ms=0.0,
            duration_ms=0.0,
            worker=self.environment.runner.worker_index,
        )

    def _keep(self, record: _records.Record) -> None:
        TALLY.count(record)
        if KEEPER.path:
            KEEPER.add(json.dumps(asdict(record), separators=(",", ":")) + "\n")

    def _read(self, response: Any, elapsed_ms: Any, *, streams: bool) -> _sse.Stream:
        try:
            response.raise_for_status()
            if streams:
                return self._read_stream(lambda: response.stream.readline(b"\n"), elapsed_ms)
            return _sse.Stream(end_ms=elapsed_ms(), answer=json.loads(response.content))
        except FAILURE_EXCEPTIONS as exc:
            return _sse.Stream(end_ms=elapsed_ms(), problem=refusal(response, exc))
        except ValueError as exc:
            return _sse.Stream(end_ms=elapsed_ms(), problem=f"answer is not as promised: {type(exc).__name__}")

    def _read_stream(self, readline: Any, elapsed_ms: Any) -> _sse.Stream:
        return _sse.read(readline, elapsed_ms)

    def _provenance_problem(self, llm: Mapping[str, Any], arm: str) -> str | None:
        if not llm.get("provider"):
            return "the answer does not say who gave it"
        return f"answered by {llm['provider']}, asked {arm}" if arm and llm["provider"] != arm else None

    def _fire(self, name: str, kind: str, value_ms: float | None, problem: str | None = None) -> None:
        if value_ms is not None:
            self.environment.events.request.fire(
                request_type=kind,
                name=name,
                response_time=value_ms,
                response_length=0,
                exception=LoadError(problem) if problem else None,
                context={},
            )


def _times(got: _sse.Stream) -> dict[str, Any]:
    return {
        "ttft_ms": got.first_token_ms,
        "tpot_ms": got.time_per_token_ms(),
        "first_chunk_ms": got.first_chunk_ms,
        "last_token_ms": got.last_token_ms,
        "last_chunk_ms": got.last_chunk_ms,
        "restarts": got.restarts,
        "outcome": got.answer.get("outcome"),
        "llm": got.llm,
    }


def _any_nonce() -> str:
    return f"{random.randrange(16**4):04x}"


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
