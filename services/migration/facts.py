"""Reads a service's counters and turns them into what each engine did since a step began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from services.llm.errors import ErrorType
from services.llm.routing import OLLAMA, VLLM
from services.migration.errors import EngineUnreachable
from services.migration.stages import NOTHING, Tally

ATTEMPTS = "llm_attempts_total"
NOBODYS_FAULT = frozenset({ErrorType.HTTP_4XX, ErrorType.CONTEXT_LENGTH, ErrorType.CANCELLED})
"""Ends that say nothing about an engine: the caller's own mistakes and callers that left. Neither good nor bad."""

Counters = Mapping[str, float]
"""`provider/error_type` to how often, since the service started."""


def parse(text: str, *, service: str) -> Counters:
    """The attempt counters in a metrics page; first tries and fallbacks alike."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == ATTEMPTS and sample.labels.get("service") == service:
                key = f"{sample.labels['provider']}/{sample.labels['error_type']}"
                found[key] = found.get(key, 0.0) + sample.value
    return found


def since(before: Counters, now: Counters) -> Counters:
    """What was counted between. A counter that fell was reset by a restart: all it shows came since then."""
    return {key: value - before.get(key, 0.0) if value >= before.get(key, 0.0) else value for key, value in now.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The counters when the step began and when last read, and the tallies between.

    Counters tell no order, so only a reading with errors and no success adds to `in_a_row`.
    """

    began: Counters
    last: Counters
    candidate: Tally = NOTHING
    control: Tally = NOTHING

    def advanced(self, now: Counters) -> Watch:
        """The watch after one more reading."""
        fresh = since(self.last, now)
        return replace(
            self,
            last=now,
            candidate=_added(self.candidate, fresh, VLLM),
            control=_added(self.control, fresh, OLLAMA),
        )


def begin(began: Counters) -> Watch:
    return Watch(began=began, last=began)


def _added(tally: Tally, fresh: Counters, provider: str) -> Tally:
    good = errors = 0
    for key, value in fresh.items():
        engine, _, error = key.partition("/")
        if engine != provider or error in NOBODYS_FAULT:
            continue
        good += round(value) if error == ErrorType.NONE else 0
        errors += round(value) if error != ErrorType.NONE else 0
    in_a_row = 0 if good else tally.in_a_row + errors
    return Tally(requests=tally.requests + good + errors, errors=tally.errors + errors, in_a_row=in_a_row)


async def read(client: httpx2.AsyncClient, url: str, *, service: str) -> Counters:
    """The counters now. Raises `EngineUnreachable` where the service does not answer."""
    try:
        answer = await client.get(f"{url}/metrics", timeout=10.0)
        answer.raise_for_status()
    except httpx2.HTTPError as exc:
        raise EngineUnreachable(
            f"the {service} service does not show its counters at {url}/metrics ({exc!r}); start it with `cutover up`, "
            "then run the same command again: it goes on where the ledger says"
        ) from exc
    return parse(answer.text, service=service)
