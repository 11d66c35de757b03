"""What a move rests on: the stored verdict and the doctor's findings, held against the engines as they are now."""

from __future__ import annotations

from dataclasses import dataclass

from services.migration import engines, kept_findings, measure
from services.migration.asking import Asker
from services.migration.measure import Seams
from services.migration.verdict import Verdict
from services.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """`fresh` says that `stored` is of these engines and this recipe; `doctor` why its findings carry nothing now."""

    stored: Verdict | None
    fresh: bool = False
    doctor: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that holds, whatever it says.

        A doubtful one is not measured again here: repeating until it is green would be no evidence.
        """
        return self.stored if self.fresh else None


async def ground(settings: Settings, service: str, asker: Asker, seams: Seams) -> Ground:
    """Raises `EngineUnreachable`, `RegistryError` where nobody can tell what the engines are."""
    stored, now = measure.saved(settings.state_dir, service), seams.now()
    now_are = await measure.described(engines.engines(settings, service, asker.client), seams)
    return Ground(
        stored=stored,
        fresh=stored is not None and measure.fresh(stored, now_are, asker.workload.sha256, now=now),
        doctor=kept_findings.doubt(kept_findings.saved(settings.state_dir, service), now_are, now=now),
    )
