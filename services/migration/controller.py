"""Moves one service, step by step: doctor, verdict, canary shares, full; and takes it back.

Each step: the decision (`stages`), the ledger line, the rollout file, then waiting for evidence. A controller that
dies anywhere is gone on with by the next `migrate`. A rollback needs none.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.llm.rollout import Stage, Standing
from services.migration import doctor as doctor_room
from services.migration import engines, facts, gates, ledger, measure, report, rollout, workload
from services.migration.asking import Asker, NotReached, unreachable
from services.migration.demo import Traffic
from services.migration.errors import Superseded
from services.migration.facts import Watch
from services.migration.findings import Finding, Level, failed
from services.migration.gates import Policy
from services.migration.ledger import Entry
from services.migration.measure import MARGIN_S, WORLD, Seams
from services.migration.rounds import OnRound
from services.migration.stages import Action, Decision, Facts, decide
from services.migration.verdict import Outcome, Verdict
from services.settings import Settings

CONTROLLER, OPERATOR = "controller", "operator"


def _silent(_done: int, _total: int, _note: str) -> None:
    """Tells nobody."""


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
        bad_verdict = self.verdict is not None and self.verdict.outcome is Outcome.FAIL
        return 1 if self.action is Action.ROLLBACK or bad_verdict or failed_finding(self.findings) else 2


def failed_finding(findings: tuple[Finding, ...]) -> bool:
    return any(f.level is Level.FAIL for f in findings)


async def migrate(
    settings: Settings,
    service: str,
    recipe: Path,
    token: str,
    *,
    demo: bool = False,
    rounds: int = 20,
    seed: int = 1,
    on_progress: OnRound = _silent,
    seams: Seams = WORLD,
    policy: Policy | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> MigrationResult:
    """Move a service as far as the evidence carries. `demo` shows the move without evidence and marks every line.

    Raises `LockHeld` where another controller is at work, `Superseded` where somebody rolled back meanwhile.
    """
    found = workload.load(recipe, service=service)
    with rollout.controller_lock(settings.state_dir, service=service):
        ledger.trusted(settings.state_dir / ledger.FILE_NAME)
        rollout.project(settings.state_dir)  # a killed controller, or a hand, may have left it apart from the ledger
        async with seams.connect() as client:
            asker = Asker(
                client=client, url=settings.service_url(service), workload=found, token=token,
                limit_s=settings.limits.deadline_s + MARGIN_S, clock=seams.clock,
            )  # fmt: skip
            journey = Journey(
                settings=settings, service=service, recipe=recipe, token=token, demo=demo, rounds=rounds, seed=seed,
                on_progress=on_progress, seams=seams, policy=policy or gates.load().policy, sleep=sleep, asker=asker,
            )  # fmt: skip
            try:
                result = await journey.travel()
            except NotReached as exc:
                raise unreachable(service, asker.url) from exc
        report.write(settings.state_dir, service)
        return result


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

    async def travel(self) -> MigrationResult:
        """Step after step until the decision is to hold, or to go back."""
        last = self._last()
        standing = self._standing()
        self.known = Facts(demo=self.demo, verdict_id=standing.verdict)
        if self._enters(standing):
            await self._look()
        while True:
            watch = await self._watch(last)
            decision = self._decide(standing, watch)
            if decision.action is Action.HOLD and standing.stage is Stage.CANARY and not self._enters(standing):
                decision = await self._wait(standing, watch, last.seq if last else 0)
            if decision.action is Action.HOLD:
                return self._result(standing, decision)
            last = await self._move(standing, decision, last)
            standing = last.target
            self._tell(standing, decision.reasons)
            if decision.action is Action.ROLLBACK:
                return self._result(standing, decision)

    def _enters(self, standing: Standing) -> bool:
        """Whether the next move is the first one, which needs the doctor and a verdict."""
        if standing.stage in (Stage.OLLAMA, Stage.ROLLED_BACK):
            return True
        return standing.demo and not self.demo

    async def _look(self) -> None:
        """Doctor, then the fresh verdict that there is, else the gate."""
        self.on_progress(0, 1, "doctor")
        self.findings = tuple(
            await doctor_room.doctor(self.settings, self.service, self.recipe, self.token, seams=self.seams)
        )
        self.known = replace(self.known, doctor_failed=failed(list(self.findings)))
        if self.known.doctor_failed and not self.demo:
            return
        self.verdict = await self._fresh()
        if self.verdict is None and not self.demo:
            self.verdict = await measure.gate(
                self.settings, self.service, self.recipe, self.token, rounds=self.rounds, seed=self.seed,
                on_progress=self.on_progress, seams=self.seams,
            )  # fmt: skip
        if self.verdict is not None:
            self.known = replace(self.known, verdict=self.verdict.outcome, verdict_id=self.verdict.id, fresh=True)

    async def _fresh(self) -> Verdict | None:
        """The stored verdict, whatever it says, if it is of these engines and this recipe.

        A doubtful one is not measured again here: repeating until it is green would be no evidence.
        """
        stored = measure.saved(self.settings.state_dir, self.service)
        if stored is None:
            return None
        pair = engines.engines(self.settings, self.service, self.asker.client)
        described = await engines.describe(pair)
        recipe_sha256 = self.asker.workload.sha256
        return stored if measure.fresh(stored, described, recipe_sha256, now=self.seams.now()) else None

    async def _watch(self, last: Entry | None) -> Watch:
        """Counters since the step began, which the step's own ledger line tells."""
        now = await facts.read(self.asker.client, self.asker.url, service=self.service)
        began = last.evidence.get("counters") if last is not None else None
        return facts.begin(began if isinstance(began, dict) else now).advanced(now)

    def _decide(self, standing: Standing, watch: Watch) -> Decision:
        return decide(standing, replace(self.known, candidate=watch.candidate, control=watch.control), self.policy)

    async def _wait(self, standing: Standing, watch: Watch, seq: int) -> Decision:
        """Poll until the canary's evidence suffices, speaks against it, or no traffic comes any more."""
        traffic = Traffic(asker=self.asker, share=standing.share, most=self.policy.demo_max_requests)
        heard = self.seams.clock()
        while True:
            await self.sleep(self.policy.poll_s)
            self._still_mine(seq)
            driven = await traffic.drive(self.policy.demo_min_requests) if self.demo else 0
            now = await facts.read(self.asker.client, self.asker.url, service=self.service)
            before, watch = watch, watch.advanced(now)
            decision = self._decide(standing, watch)
            self._still_mine(seq)
            if decision.action is not Action.HOLD:
                return decision
            if watch.candidate.requests > before.candidate.requests:
                heard = self.seams.clock()
                self._tell(standing, decision.reasons)
            if (self.demo and not driven) or self.seams.clock() - heard > self.policy.silence_s:
                ended = f"stopped waiting; `cutover migrate {self.service}` goes on from {standing.share:.0%}"
                return replace(decision, reasons=(*decision.reasons, ended))

    def _still_mine(self, seq: int) -> None:
        """Stop where a rollback came meanwhile. Raises `Superseded`."""
        last = self._last()
        if last is not None and last.seq != seq:
            raise Superseded(f"{last.actor} moved {self.service} to {last.target.stage} meanwhile; it is left there")

    async def _move(self, standing: Standing, decision: Decision, last: Entry | None) -> Entry:
        """Ledger first, then the rollout file. The line holds the counters from which the next step counts.

        Going back waits for nothing, not even for the service to show its counters.
        """
        onward = decision.action is Action.PROMOTE
        counters = await facts.read(self.asker.client, self.asker.url, service=self.service) if onward else {}
        entry = Entry(
            service=self.service, source=standing, target=decision.standing, actor=CONTROLLER, reasons=decision.reasons,
            verdict=decision.standing.verdict,
            evidence={"counters": dict(counters), "raw": self.verdict.raw.records if self.verdict else None},
        )  # fmt: skip
        written = rollout.move(self.settings.state_dir, entry, expected=last.seq if last else 0)
        self.moves.append(written)
        return written

    def _last(self) -> Entry | None:
        return ledger.read(self.settings.state_dir / ledger.FILE_NAME).last(self.service)

    def _standing(self) -> Standing:
        return rollout.standing(self.settings.state_dir, self.service)

    def _tell(self, standing: Standing, reasons: tuple[str, ...]) -> None:
        steps = self.policy.steps
        done = sum(standing.share >= step for step in steps)
        self.on_progress(done, len(steps), f"{standing.stage} {standing.share:.0%}: {'; '.join(reasons)}")

    def _result(self, standing: Standing, decision: Decision) -> MigrationResult:
        return MigrationResult(
            service=self.service, standing=standing, action=decision.action, reasons=decision.reasons,
            moves=tuple(self.moves), verdict=self.verdict, findings=self.findings,
        )  # fmt: skip


def rollback(settings: Settings, service: str, reason: str = "asked for by hand") -> Standing:
    """Send a service back to Ollama, now. Needs no engine, no service and no controller, and wins over one at work.

    Also writes the rollout file anew from the ledger. On Ollama already, it only does that.
    """
    source = rollout.standing(settings.state_dir, service)
    idle = source.stage in (Stage.OLLAMA, Stage.ROLLED_BACK) and not _controller_at_work(settings.state_dir)
    if idle:
        return rollout.project(settings.state_dir).standing(service)
    target = Standing(stage=Stage.ROLLED_BACK, verdict=source.verdict, demo=source.demo)
    entry = Entry(
        service=service, source=source, target=target, actor=OPERATOR, reasons=(reason,), verdict=source.verdict
    )
    return rollout.move(settings.state_dir, entry, expected=None).target


def _controller_at_work(state_dir: Path) -> bool:
    """Whether a living controller holds the lock: it could be about to move the service."""
    try:
        with (state_dir / rollout.LOCK_NAME).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def history(settings: Settings, service: str | None = None) -> list[Entry]:
    """The ledger's lines of one service, or of all, oldest first. `ledger.document` gives their JSON."""
    return ledger.history(settings.state_dir / ledger.FILE_NAME, service)
