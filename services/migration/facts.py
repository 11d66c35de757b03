"""Reads a service's counters and turns them into what each engine did since a step began."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from pydantic import TypeAdapter, ValidationError

from services.llm.errors import ErrorType
from services.llm.measures import ATTEMPT_BUCKETS, ATTEMPT_TTFC_BUCKETS
from services.llm.metrics import MEASURED
from services.llm.routing import OLLAMA, VLLM
from services.migration import evidence
from services.migration.errors import EngineUnreachable
from services.migration.evidence import Evidence, Seen
from services.migration.gates import Policy
from services.migration.rollout import write_aside
from services.migration.stages import NOTHING, Tally

ENGINES = (VLLM, OLLAMA)
"""The two arms. What a last resort outside answers says nothing about either."""

NOBODYS_FAULT = frozenset({ErrorType.HTTP_4XX, ErrorType.CONTEXT_LENGTH, ErrorType.CANCELLED})
"""Ends that say nothing about an engine: the caller's own mistakes and callers that left. Neither good nor bad."""

PASSED_OVER = frozenset({ErrorType.BREAKER_OPEN, ErrorType.SHED})
"""Why an engine that was to be asked first was not tried at all, and is to blame for it."""

TIMES = {"llm_attempt_duration_seconds_bucket": "slow", "llm_attempt_time_to_first_chunk_seconds_bucket": "chunk"}
KINDS = {"slow": "slow", "chunk": "slow first chunk"}
EDGES = {"slow": (*ATTEMPT_BUCKETS, math.inf), "chunk": (*ATTEMPT_TTFC_BUCKETS, math.inf)}

Counters = Mapping[str, float]
"""`what/engine/detail` to how often, since the service started; zeros left out.

`first` and `later` (a fallback, a repair) count tries by how they ended, `passed` requests that were not tried at the
engine they should have asked first, by why; `slow` and `chunk` are the edges of histograms, in seconds, cumulative.
"""


def parse(text: str, *, service: str) -> Counters:
    """The counters of both engines in a metrics page."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = _key(sample) if _counts(sample, service) else None
            if key is not None and key.split("/")[1] in ENGINES:
                found[key] = found.get(key, 0.0) + sample.value
    return found


def _counts(sample: Sample, service: str) -> bool:
    """Whether it is of the chats of this service's users; the gate and the doctor ask for themselves.

    A vector takes another time than an answer, where they are told apart.
    """
    labels = sample.labels
    users = labels.get("attempt") != MEASURED and labels.get("operation", "chat") == "chat"
    return bool(sample.value) and labels.get("service") == service and users


def _key(sample: Sample) -> str | None:
    labels = sample.labels
    if sample.name == "llm_attempts_total":
        when = "first" if labels["attempt"] == "first" else "later"
        return f"{when}/{labels['provider']}/{labels['error_type']}"
    if sample.name == "llm_fallbacks_total":
        return f"passed/{labels['from']}/{labels['reason']}" if labels["reason"] in PASSED_OVER else None
    kind = TIMES.get(sample.name)
    return f"{kind}/{labels['provider']}/{float(labels['le'])}" if kind else None


def since(before: Counters, now: Counters) -> Counters:
    """What was counted between. Where any counter fell the service was started anew: all it shows came since then."""
    if any(now.get(key, 0.0) < value for key, value in before.items()):
        return now
    return {key: value - before.get(key, 0.0) for key, value in now.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The counters when last read, and what both engines did since the step began.

    Counters tell no order, so only a reading with errors and no success adds to `in_a_row`.
    """

    last: Counters
    control_times: Counters = field(default_factory=dict)
    candidate: Tally = NOTHING
    control: Tally = NOTHING
    evidence: Evidence = field(default_factory=Evidence)

    def advanced(self, now: Counters, policy: Policy) -> Watch:
        """The watch after one more reading."""
        fresh = since(self.last, now)
        return replace(
            self,
            last=now,
            control_times=_added(self.control_times, fresh),
            candidate=_tally(self.candidate, fresh, VLLM),
            control=_tally(self.control, fresh, OLLAMA),
            evidence=self._weighed(fresh, policy),
        )

    def _weighed(self, fresh: Counters, policy: Policy) -> Evidence:
        """A fallback answer is a bad request of the engine that should have given it, and no success of the other.

        What is slow is told by the control's answers before this reading, never by the reading itself.
        """
        arms = [_asked_first(fresh, engine) for engine in ENGINES]
        found = self.evidence.after("errors", *arms, limit=policy.error_limit)
        for kind, name in KINDS.items():
            edge = evidence.threshold(_buckets(self.control_times, kind, OLLAMA), margin=policy.slow_margin)
            if edge is not None:
                timed = [evidence.above(_buckets(fresh, kind, engine), edge) for engine in ENGINES]
                found = found.after(name, *timed, limit=policy.slow_limit)
        return found


def begin(began: Counters, *, after: Watch | None = None) -> Watch:
    """The watch of a new step. What was slow in the step before (`after`) still is.

    Users were used to Ollama under load; how fast it is with only a holdback to answer is no measure for an engine
    that carries the rest.
    """
    return Watch(last=began, control_times=after.control_times if after else {})


def _counted(fresh: Counters, engine: str, *kinds: str) -> tuple[int, int]:
    """Good and bad ends."""
    good = bad = 0
    for key, value in fresh.items():
        kind, owner, error = key.split("/")
        if owner == engine and kind in kinds and error not in NOBODYS_FAULT:
            good += round(value) if error == ErrorType.NONE else 0
            bad += round(value) if error != ErrorType.NONE else 0
    return good, bad


def _asked_first(fresh: Counters, engine: str) -> Seen:
    good, bad = _counted(fresh, engine, "first", "passed")
    return Seen(n=good + bad, bad=bad)


def _tally(tally: Tally, fresh: Counters, engine: str) -> Tally:
    """Requests and errors of those who were to ask this engine first; `in_a_row` of everybody who asked it."""
    arm = _asked_first(fresh, engine)
    good, bad = _counted(fresh, engine, "first", "later", "passed")
    in_a_row = 0 if good else tally.in_a_row + bad
    return Tally(requests=tally.requests + arm.n, errors=tally.errors + arm.bad, in_a_row=in_a_row)


def _buckets(counters: Counters, kind: str, engine: str) -> dict[float, float]:
    """A histogram by upper edge in seconds, whole: an edge that was left out as zero is put back."""
    prefix = f"{kind}/{engine}/"
    found = {float(key[len(prefix) :]): value for key, value in counters.items() if key.startswith(prefix)}
    return {**dict.fromkeys(EDGES[kind], 0.0), **found} if found else {}


def _added(times: Counters, fresh: Counters) -> Counters:
    new = {key: value for key, value in fresh.items() if key.startswith(tuple(f"{k}/{OLLAMA}/" for k in KINDS))}
    return {key: times.get(key, 0.0) + new.get(key, 0.0) for key in times.keys() | new.keys()}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A watch on disk. `seq` is the ledger line that began its step; `alternatives` those it was weighed against."""

    seq: int
    watch: Watch
    alternatives: tuple[float, ...] = evidence.ODDS


KEPT = TypeAdapter(Kept)


def _kept_at(state_dir: Path, service: str) -> Path:
    return state_dir / "canary" / f"{service}.json"


def keep(state_dir: Path, service: str, watch: Watch, *, seq: int) -> None:
    """Write the watch down, so that a controller started anew goes on with the same e-value. Raises `StateError`."""
    write_aside(_kept_at(state_dir, service), KEPT.dump_json(Kept(seq=seq, watch=watch)).decode())


def kept(state_dir: Path, service: str) -> Kept | None:
    """The watch that was last written. None where there is none, or none that this program understands.

    The ledger's counters then begin the step anew, as one reading, which is as valid and a little less sharp.
    """
    try:
        found = KEPT.validate_json(_kept_at(state_dir, service).read_bytes())
    except (OSError, ValidationError):
        return None
    return found if found.alternatives == evidence.ODDS else None
