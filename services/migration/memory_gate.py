"""Memory beside a gate: sampled while its rounds run, kept with the raw file's name. It never fails the gate."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from services.migration import capacity, memory, memory_document
from services.migration.engines import Engines
from services.migration.errors import MigrationError
from services.migration.memory import PERIOD_S, Sampler, Watch
from services.migration.memory_document import Load
from services.migration.records import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The sampling of one gate; without a sampler it does nothing."""

    watch: Watch | None = None

    def rounds_begin(self) -> None:
        """From here on both engines are under load in turn; what came before was idle, then warm-up."""
        if self.watch:
            self.watch.loaded = None

    async def keep(self, state_dir: Path, pair: Engines, run: Run) -> str:
        """Write `memory/SERVICE.json`. What to tell of it: empty unless something went wrong."""
        if self.watch is None:
            return ""
        plan = run.plan
        try:
            document = memory_document.build(
                self.watch, await capacity.capacities(pair, self.watch.told), service=plan.service,
                created=plan.created, context=pair.model.context, engines=(plan.baseline, plan.candidate),
                load=load(run), period_s=PERIOD_S, machine=plan.machine, raw=run.name,
            )  # fmt: skip
            memory_document.save(state_dir, document)
        except MigrationError as exc:
            return f"memory was not kept: {exc}"
        return f"memory was sampled until this came: {self.watch.problem}" if self.watch.problem else ""


@contextlib.asynccontextmanager
async def beside(sampler: Sampler | None) -> AsyncIterator[Beside]:
    """Sample until the block ends, from before its warm-up."""
    if sampler is None:
        yield Beside()
        return
    async with memory.watching(sampler) as watch:
        watch.loaded = memory.NEITHER
        yield Beside(watch=watch)


def load(run: Run) -> Load:
    """What the gate asked; pure."""
    found = run.latest()
    requests = Counter(r.side.provider for r in found)
    errors = Counter(r.side.provider for r in found if not r.answered)
    lengths = [
        r.prompt_tokens + r.output_tokens for r in found if r.prompt_tokens is not None and r.output_tokens is not None
    ]
    return Load(
        what=f"gate, {run.done} rounds", in_flight=run.plan.concurrency, requests=dict(requests), errors=dict(errors),
        seconds=round(max((r.end_s for r in found), default=0) - min((r.sent_s for r in found), default=0), 1),
        tokens=memory_document.tokens_each(lengths),
    )  # fmt: skip
