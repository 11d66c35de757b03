"""The doctor: runs every check on both engines and through the service, and keeps the findings."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.migration import (
    behaviour,
    code_files,
    doctor_embeddings,
    doctor_index,
    fairness,
    kept_findings,
    own_prompts,
    pages,
    parity,
    probes,
    protocol,
    recorded,
    rendering,
    swallowed,
    waivers,
    workload,
)
from services.migration.asking import Asker, NotReached, unreachable
from services.migration.doctor_wire import Overrides, Wire, wire
from services.migration.findings import Finding, Level, compared
from services.migration.kept_findings import Kept
from services.migration.measure import MARGIN_S, WORLD, Seams, described
from services.migration.own_prompts import Pair
from services.migration.records import Engine
from services.migration.workload import Workload
from services.settings import Settings

OWN_PROMPTS = 2  # items of the recipe that are sent through the service, on both arms
COLD_LIMIT_S = 180.0
"""Seconds for the first call: a cold load on a small machine is slow."""

CALLS = (*probes.BEHAVIOUR, *behaviour.BEHAVIOUR, *protocol.BEHAVIOUR, *swallowed.BEHAVIOUR)


def _silent(_check: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How to look: recorded requests, a team's own code, waivers of another file, other engines, no service."""

    recorded: Path | None = None
    code: Path | None = None
    waivers: Path | None = None
    engines_only: bool = False
    overrides: Overrides = field(default_factory=Overrides)

    @property
    def is_usual(self) -> bool:
        """Whether the findings are about this service on its own engines, and so are kept."""
        return not self.engines_only and not self.overrides.any


USUAL = Wanted()


async def doctor(
    settings: Settings,
    service: str,
    recipe: Path,
    token: str,
    *,
    wanted: Wanted = USUAL,
    on_check: Callable[[str], None] = _silent,
    seams: Seams = WORLD,
) -> list[Finding]:
    """Every finding about one service, waived where somebody accepts it; the usual ones also go to the state folder.

    Raises `EngineUnreachable` where an engine is not there at all, `WaiverError`, `WorkloadError`, `CodeError`.
    """
    found = workload.load(recipe, service=service)
    given = recorded.read(wanted.recorded, nonce_field=found.nonce_field) if wanted.recorded else ()
    linted = code_files.code(wanted.code) if wanted.code else []
    today = seams.now().date()
    path = wanted.waivers or settings.state_dir / waivers.FILE_NAME
    accepted = waivers.load(path, service=service, today=today, needed=wanted.waivers is not None)
    async with seams.connect() as client:
        pair = wire(settings, service, client, wanted.overrides)
        asker = Asker(
            client=client, url=settings.service_url(service), workload=found, keys=settings.api_keys, token=token,
            limit_s=settings.limits.deadline_s + MARGIN_S, clock=seams.clock,
        )  # fmt: skip
        on_check("what the engines are")
        exam = _Exam(
            pair=pair, asker=asker, given=replace(found, items=given) if given else None, on_check=on_check,
            described=await described(pair, seams, whole=False), cut=functools.partial(doctor_index.cutter, settings),
        )  # fmt: skip
        said = [f async for f in exam.findings(service, engines_only=wanted.engines_only)]
    said = waivers.laid_over([*said, _readable(pair), *linted], accepted, today)
    if wanted.is_usual:
        examined = Kept(findings=tuple(said), at=seams.now(), engines=exam.described)
        kept_findings.keep(settings.state_dir, service, examined)
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exam:
    """One examination at work. `given` are the recorded requests, where there are any; `described` both engines."""

    pair: Wire
    asker: Asker
    given: Workload | None
    on_check: Callable[[str], None]
    described: tuple[Engine, Engine]
    cut: doctor_index.Cut

    async def findings(self, service: str, *, engines_only: bool) -> AsyncIterator[Finding]:
        """From what costs nothing to what costs most; ends where an engine gives no token."""
        for finding in await parity.static(self.pair, self.described):
            yield finding
        for probe in CALLS:
            self.on_check(probe.__name__.replace("_", " "))
            first = probe is probes.generates
            finding = await probe(replace(self.pair, limit_s=COLD_LIMIT_S) if first else self.pair)
            yield finding
            if first and finding.level is Level.FAIL:
                return
        self.on_check("how prompts are rendered")
        for finding in await rendering.rendering(self.pair):
            yield finding
        self.on_check("embeddings")
        for finding in await doctor_embeddings.embeddings(self.pair, service, self._texts()):
            yield finding
        if engines_only:
            yield own_prompts.not_asked(service)
        else:
            for finding in await self._service():
                yield finding
            if service in doctor_embeddings.EMBEDDING_SERVICES:
                self.on_check("the existing index")
                for finding in await doctor_index.index(self.pair, self.asker, self.cut):
                    yield finding
        self.on_check("fairness")
        for finding in await fairness.fairness(self.pair, self.asker.workload):
            yield finding

    def _texts(self) -> list[str]:
        """The service's own words, to be embedded: those of its recipe, and recorded ones."""
        items = [*self.asker.workload.items, *(self.given.items if self.given else ())]
        return [str(i.body[self.asker.workload.nonce_field]) for i in items]

    async def _service(self) -> list[Finding]:
        """The service's own prompts and, where it answers, the recorded ones."""
        self.on_check("the service's own prompts")
        said, pairs = await own_prompts.own(self.asker, [i.id for i in self.asker.workload.items[:OWN_PROMPTS]])
        if not pairs:
            return said
        if self.given is not None:
            more, of_record = await self._recorded(self.given)
            said, pairs = [*said, *more], [*pairs, *of_record]
        listed = pages.objects((await self.pair.vllm("/v1/models")).body, "data")
        named = (m.get("max_model_len") for m in listed if m.get("id") == self.pair.model.names["vllm"])
        return [*said, own_prompts.fits(pairs, (self.pair.model.context, next(named, None)))]

    async def _recorded(self, given: Workload) -> tuple[list[Finding], list[Pair]]:
        try:
            return await own_prompts.recorded(replace(self.asker, workload=given), self.on_check)
        except NotReached as exc:
            raise unreachable(given.service, self.asker.url) from exc


def _readable(pair: Wire) -> Finding:
    """What answered out of shape, or not at all, while everything else was asked."""
    said = {name: [o for o in pair.odd if o.startswith(name)] for name in ("Ollama", "vLLM")}
    for name, count in pair.silences.items():
        said[name].append(f"{name} gave no answer to {count} calls")
    fail = "another program or a proxy answers there, or the engine is ill; mend that first, then run the doctor again"
    told = ("; ".join(said[name])[:300] or "in shape" for name in ("Ollama", "vLLM"))
    return compared("answers readable", *told, fail=fail if any(said.values()) else "")
