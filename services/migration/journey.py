"""One service on its way: the decision (`stages`), the ledger line, the rollout file, then waiting for evidence.

A journey that dies anywhere is gone on with by the next: what it stood on is in the ledger, what it had seen is kept.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from services.llm.registry import RegistryError
from services.llm.rollout import Stage, Standing
from services.migration import doctor as doctor_room
from services.migration import facts, ledger, measure, rollout
from services.migration.asking import Asker
from services.migration.demo import Traffic
from services.migration.errors import EngineUnreachable, Superseded
from services.migration.facts import Watch
from services.migration.findings import Finding, failed
from services.migration.gates import Policy
from services.migration.ground import Ground, ground
from services.migration.ledger import Entry
from services.migration.measure import Seams
from services.migration.rounds import OnRound
from services.migration.stages import Action, Decision, Facts, decide, held_back
from services.migration.verdict import Outcome, Verdict
from services.settings import Settings

CONTROLLER = "controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationResult:
    """How a `migrate` ended. `moves` are the ledger lines it wrote; `reasons` say why it went no further."""

    service: str
    standing: Standing
    action: Action
    reasons: tuple[str, ...]
    moves: tuple[Entry, ...] = ()
    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 on vLLM in full, 1 where something failed, 2 where it is held."""
        if self.standing.stage is Stage.FULL:
            return 0
        bad_finding = bool(self.findings) and failed(list(self.findings))
        bad_verdict = self.verdict is not None and self.verdict.outcome is Outcome.FAIL
        return 1 if self.action is Action.ROLLBACK or bad_verdict or bad_finding else 2


LOOK_AGAIN_S = 60.0
"""How often a canary without a verdict that holds looks for one: somebody may measure beside it."""


@dataclass(slots=True, kw_only=True)
class Journey:
    """One `migrate` at work: what it was asked, and what it knows so far."""

    settings: Settings
    service: str
    recipe: Path
    token: str
    demo: bool
    rounds: int
    seed: int
    on_progress: OnRound
    seams: Seams
    policy: Policy
    sleep: Callable[[float], Awaitable[None]]
    asker: Asker
    known: Facts = field(default_factory=Facts)
    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    moves: list[Entry] = field(default_factory=list)
    guarding: bool = False
    looked_s: float = -math.inf

    async def travel(self) -> MigrationResult:
        """Step after step until the decision is to hold, or to go back. `guarding` also sits out the holdback."""
        last = self._last()
        standing = self._standing()
        self.known = Facts(demo=self.demo, verdict_id=standing.verdict)
        if self._enters(standing):
            await self._look()
        elif self._rests(standing):
            await self._look_again(standing)
        while True:
            watch = await self._watch(last)
            decision = await self._decide(standing, watch, last)
            if decision.action is Action.HOLD and self._waits(standing, last):
                decision, watch = await self._wait(standing, watch, last)
            if decision.action is Action.HOLD:
                return self._result(standing, decision)
            last = await self._move(standing, decision, last, watch)
            standing = last.target
            self._tell(standing, decision.reasons)
            if decision.action is Action.ROLLBACK:
                return self._result(standing, decision)

    def _enters(self, standing: Standing) -> bool:
        """Whether the next move is the first one, which needs the doctor and a verdict."""
        if standing.stage in (Stage.OLLAMA, Stage.ROLLED_BACK):
            return True
        return standing.demo and not self.demo

    def _rests(self, standing: Standing) -> bool:
        """Whether the next move rests on the verdict that the canary began on, or on one made since."""
        return not self.demo and (standing.stage is Stage.CANARY or held_back(standing))

    def _waits(self, standing: Standing, last: Entry | None) -> bool:
        """Whether there is something to wait for. A canary whose verdict expired is guarded all the same."""
        if held_back(standing):
            founded = self.demo or self._founded
            return self.guarding and (founded or self._age_s(last) < self.policy.holdback_s)
        return standing.stage is Stage.CANARY and not self._enters(standing)

    @property
    def _founded(self) -> bool:
        """Whether verdict and doctor, as last looked at, still carry a canary."""
        return self.known.fresh and not self.known.doctor_doubt

    async def _look(self) -> None:
        """Doctor, then the fresh verdict that there is, else the gate."""
        self.on_progress(0, 1, "doctor")
        self.findings = tuple(
            await doctor_room.doctor(self.settings, self.service, self.recipe, self.token, seams=self.seams)
        )
        self.known = replace(self.known, doctor_failed=failed(list(self.findings)))
        if self.known.doctor_failed and not self.demo:
            return
        self.verdict = (await ground(self.settings, self.service, self.asker, self.seams)).verdict
        if self.verdict is None and not self.demo:
            self.verdict = await measure.gate(
                self.settings, self.service, self.recipe, self.token, rounds=self.rounds, seed=self.seed,
                on_progress=self.on_progress, seams=self.seams,
            )  # fmt: skip
        if self.verdict is not None:
            self.known = replace(self.known, verdict=self.verdict.outcome, verdict_id=self.verdict.id, fresh=True)

    async def _look_again(self, standing: Standing) -> None:
        """The verdict and the doctor's findings as they lie there now, held against the engines as they are now.

        Engines that do not answer leave it open: whether a dead one sends the service back is for the counters to say.
        """
        self.looked_s = self.seams.clock()
        found, unasked = Ground(stored=measure.saved(self.settings.state_dir, self.service)), ""
        try:
            found = await ground(self.settings, self.service, self.asker, self.seams)
        except (EngineUnreachable, RegistryError) as exc:
            unasked = str(exc)
        self.verdict = found.stored
        passed = found.verdict is not None and found.verdict.outcome is Outcome.PASS
        self.known = replace(
            self.known, fresh=passed, unasked=unasked, verdict=found.stored.outcome if found.stored else None,
            verdict_id=found.stored.id if found.stored and passed else standing.verdict, doctor_doubt=found.doctor,
        )  # fmt: skip

    async def _watch(self, last: Entry | None) -> Watch:
        """What came since the step began: as far as it was kept, else from the counters in the step's ledger line."""
        now = await self._counters()
        if last is None:
            return facts.begin(now)
        found = facts.kept(self.settings.state_dir, self.service)
        if found and found.seq == last.seq:
            return self._kept(found.watch.advanced(now, self.policy), last)
        before = found.watch if found and last.source.stage is Stage.CANARY else None
        began = last.evidence.get("counters")
        seen = facts.begin(began if isinstance(began, dict) and began else now, after=before)
        return self._kept(seen.advanced(now, self.policy), last)

    def _kept(self, watch: Watch, last: Entry | None) -> Watch:
        """The watch, once it is on disk: nothing is decided on what a controller started anew would not know."""
        if last is not None:
            facts.keep(self.settings.state_dir, self.service, watch, seq=last.seq)
        return watch

    async def _counters(self) -> facts.Counters:
        return await facts.read(self.asker.client, self.asker.url, service=self.service)

    async def _decide(self, standing: Standing, watch: Watch, last: Entry | None) -> Decision:
        """What to do now. A step onward is decided once more, with the verdict as it is at this moment.

        Where none holds it is looked for again: somebody may have measured meanwhile.
        """
        decision = self._judge(standing, watch, last)
        doubted = decision.action is Action.HOLD and not self._founded
        due = doubted and self.seams.clock() - self.looked_s >= LOOK_AGAIN_S
        if self._rests(standing) and (due or decision.action is Action.PROMOTE):
            await self._look_again(standing)
            decision = self._judge(standing, watch, last)
        return decision

    def _judge(self, standing: Standing, watch: Watch, last: Entry | None) -> Decision:
        known = replace(
            self.known, candidate=watch.candidate, control=watch.control, evidence=watch.evidence,
            age_s=self._age_s(last),
        )  # fmt: skip
        return decide(standing, known, self.policy)

    def _age_s(self, last: Entry | None) -> float:
        """Seconds since the step began; negative where the clock was set back since."""
        return (self.seams.now() - datetime.fromisoformat(last.at)).total_seconds() if last else 0.0

    async def _wait(self, standing: Standing, watch: Watch, last: Entry | None) -> tuple[Decision, Watch]:
        """Poll until the evidence suffices, speaks against vLLM, or (in a canary) no traffic comes any more."""
        traffic = Traffic(asker=self.asker, share=standing.share, most=self.policy.demo_max_requests)
        heard, seq = self.seams.clock(), last.seq if last else 0
        while True:
            await self.sleep(self.policy.poll_s)
            self._still_mine(seq)
            driven = await traffic.drive(self.policy.demo_min_requests) if self.demo else 0
            before, watch = watch, await self._polled(watch, last)
            decision = await self._decide(standing, watch, last)
            self._still_mine(seq)
            if decision.action is not Action.HOLD or not self._waits(standing, last):
                return decision, watch
            if watch.candidate.requests > before.candidate.requests:
                heard = self.seams.clock()
                self._tell(standing, decision.reasons)
            silent = self.seams.clock() - heard > self.policy.silence_s and not self.guarding
            if (self.demo and not driven) or silent:
                ended = f"stopped waiting; `cutover migrate {self.service}` goes on from {standing.share:.0%}"
                return replace(decision, reasons=(*decision.reasons, ended)), watch

    async def _polled(self, watch: Watch, last: Entry | None) -> Watch:
        """One more reading. Who guards a holdback outlives a restart of the service; nobody else waits for it."""
        try:
            now = await self._counters()
        except EngineUnreachable as exc:
            if not self.guarding:
                raise
            self.on_progress(0, 1, str(exc))
            return watch
        return self._kept(watch.advanced(now, self.policy), last)

    def _still_mine(self, seq: int) -> None:
        """Stop where a rollback came meanwhile. Raises `Superseded`."""
        last = self._last()
        if last is not None and last.seq != seq:
            raise Superseded(f"{last.actor} moved {self.service} to {last.target.stage} meanwhile; it is left there")

    async def _move(self, standing: Standing, decision: Decision, last: Entry | None, watch: Watch) -> Entry:
        """Ledger first, then the rollout file. The line holds the counters from which the next step counts.

        Going back waits for nothing, not even for the service to show its counters.
        """
        onward = decision.action is Action.PROMOTE
        counters = await self._counters() if onward else {}
        entry = Entry(
            service=self.service, source=standing, target=decision.standing, actor=CONTROLLER, reasons=decision.reasons,
            verdict=decision.standing.verdict,
            evidence={
                "counters": dict(counters), "raw": self.verdict.raw.records if self.verdict else None,
                **self._weighed(standing, watch),
            },
        )  # fmt: skip
        written = rollout.move(
            self.settings.state_dir, entry, expected=last.seq if last else 0,
            clock=lambda: self.seams.now().isoformat(timespec="seconds"),
        )  # fmt: skip
        self.moves.append(written)
        return written

    def _weighed(self, standing: Standing, watch: Watch) -> dict[str, Any]:
        """What the step showed, for the ledger: the e-value against vLLM and both tallies."""
        if standing.stage not in (Stage.CANARY, Stage.FULL):
            return {}
        e_value = watch.evidence.e_value(looks=len(self.policy.steps), alone=standing.share == 1.0)
        return {"e_value": e_value, "candidate": asdict(watch.candidate), "control": asdict(watch.control)}

    def _last(self) -> Entry | None:
        return ledger.read(self.settings.state_dir / ledger.FILE_NAME).last(self.service)

    def _standing(self) -> Standing:
        return rollout.standing(self.settings.state_dir, self.service)

    def _tell(self, standing: Standing, reasons: tuple[str, ...]) -> None:
        done = sum(standing.share >= step for step in self.policy.steps)
        self.on_progress(done, len(self.policy.steps), f"{standing.stage} {standing.share:.0%}: {'; '.join(reasons)}")

    def _result(self, standing: Standing, decision: Decision) -> MigrationResult:
        return MigrationResult(
            service=self.service, standing=standing, action=decision.action, reasons=decision.reasons,
            moves=tuple(self.moves), verdict=self.verdict, findings=self.findings,
        )  # fmt: skip
