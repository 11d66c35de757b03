"""From raw numbers to what is printed: estimates, rows, and the targets with their outcome. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from services.overhead.measure import Raw
from services.overhead.plan import OURS, PEERS, SLOPES, SUBJECTS, Slope, cases
from services.overhead.stats import Estimate, Floats, added, estimate, median, ratio, times_added

WITHOUT_PEERS = "measured without the peers (--without-peers)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A number of the document and its bound: at most `limit`, or at least where `at_least`."""

    key: str
    says: str
    limit: float
    at_least: bool = False


TARGETS = (
    Target(key="call_ratio_openai", says="a call, times the openai SDK's", limit=1.10),
    Target(key="chunk_ratio_openai", says="a streamed chunk, times the SDK's", limit=0.60),
    Target(key="chunk_ratio_openai_paced", says="the same, chunks 1 ms apart", limit=0.60),
    Target(key="litellm_added_over_ours", says="LiteLLM adds to a raw call, times ours", limit=5.0, at_least=True),
    Target(key="import_ratio_openai", says="the import, times `import openai`", limit=1.20),
)


def document(raw: Raw) -> dict[str, Any]:
    """What `--json` prints. CPU times in microseconds per call, per chunk where the measure is one."""
    columns = Columns(raw)
    found = _headlines(raw, columns)
    return {
        **{key: plain(each) for key, each in found.items()},
        "targets": [asdict(target) | {"result": result(target, found[target.key])} for target in TARGETS],
        "load": {"before": raw.load[0], "after": raw.load[1]},
        "versions": {name: dict(versions) for name, versions in raw.versions.items()},
        "rows": columns.rows(),
        "imports": _import_rows(raw),
        "rounds": raw.rounds,
        "calls": raw.calls,
        "seed": raw.seed,
    }


def _headlines(raw: Raw, columns: Columns) -> dict[str, Estimate | None]:
    ours, sdk = columns.measures(OURS, "ours"), columns.measures(OURS, "openai")
    floor = columns.case(OURS, "raw", "call")
    theirs = None
    if PEERS in columns.interpreters:
        litellm, their_floor = columns.case(PEERS, "litellm", "call"), columns.case(PEERS, "raw", "call")
        theirs = estimate(times_added, litellm, their_floor, ours["call"], floor)
    return {
        "call_ratio_openai": estimate(ratio, ours["call"], sdk["call"]),
        "chunk_ratio_openai": estimate(ratio, ours["chunk"], sdk["chunk"]),
        "chunk_ratio_openai_paced": estimate(ratio, ours["chunk-paced"], sdk["chunk-paced"]),
        "import_ratio_openai": estimate(ratio, _import_cpu(raw, "ours"), _import_cpu(raw, "openai")),
        "litellm_added_over_ours": theirs,
    }


def plain(found: Estimate | None) -> dict[str, Any]:
    """An estimate as JSON holds it. Without one, or where a number is infinite, null and the reason."""
    if found is None:
        return {"value": None, "low": None, "high": None, "reason": WITHOUT_PEERS}
    values = {"value": found.value, "low": found.low, "high": found.high}
    finite = {name: v if v is None or math.isfinite(v) else None for name, v in values.items()}
    infinite = [name for name in values if finite[name] != values[name]]
    return finite | ({"reason": f"infinite, since ours adds nothing: {', '.join(infinite)}"} if infinite else {})


def code(document: Mapping[str, Any]) -> int:
    """Exit code of `--check`: 1 where a target is not met, else 2 where one is not clearly met or not measured."""
    results = {target["result"] for target in document["targets"]}
    if "not met" in results:
        return 1
    return 0 if results == {"met"} else 2


def result(target: Target, found: Estimate | None) -> str:
    """`met` or `not met` by the value; `met, not clearly` where the interval crosses the limit; or `not measured`."""
    if found is None:
        return "not measured"

    def holds(number: float) -> bool:
        return number >= target.limit if target.at_least else number <= target.limit

    if not holds(found.value):
        return "not met"
    doubtful = found.low if target.at_least else found.high
    return "met" if doubtful is not None and holds(doubtful) else "met, not clearly"


class Columns:
    """The raw cells as arrays, one number per round, in microseconds."""

    def __init__(self, raw: Raw) -> None:
        self._cells = {key: np.array(values) * 1e6 for key, values in raw.cells.items()}
        self._raw = raw

    @property
    def interpreters(self) -> list[str]:
        return [name for name in (OURS, PEERS) if (name, "raw", "call") in self._cells]

    def case(self, interpreter: str, subject: str, name: str) -> Floats:
        return self._cells[interpreter, subject, name]

    def slope(self, interpreter: str, subject: str, slope: Slope) -> Floats:
        """CPU per chunk of each round."""
        chunks = {case.name: case.chunks for case in cases(self._raw.calls)}
        more = self.case(interpreter, subject, slope.long) - self.case(interpreter, subject, slope.short)
        return more / (chunks[slope.long] - chunks[slope.short])

    def measures(self, interpreter: str, subject: str) -> dict[str, Floats]:
        """Every case and slope of a subject."""
        names = [case.name for case in cases(self._raw.calls)]
        found = {name: self.case(interpreter, subject, name) for name in names}
        return found | {slope.name: self.slope(interpreter, subject, slope) for slope in SLOPES}

    def rows(self) -> list[dict[str, Any]]:
        """One per interpreter, subject and measure, each against raw HTTP and the openai SDK of its interpreter."""
        made = []
        for interpreter in self.interpreters:
            floors, sdks = self.measures(interpreter, "raw"), self.measures(interpreter, "openai")
            for subject in SUBJECTS[interpreter]:
                for measure, cpu in self.measures(interpreter, subject).items():
                    made.append(
                        {"interpreter": interpreter, "subject": subject, "measure": measure}
                        | {"cpu_us": plain(estimate(median, cpu))}
                        | {"added_over_raw_us": plain(estimate(added, cpu, floors[measure]))}
                        | {"added_over_openai_us": plain(estimate(added, cpu, sdks[measure]))}
                        | {"ratio_openai": plain(estimate(ratio, cpu, sdks[measure]))}
                    )
        return made


def _import_cpu(raw: Raw, subject: str) -> Floats:
    return np.array([each.cpu_s for each in raw.imports[subject]])


def _import_rows(raw: Raw) -> list[dict[str, Any]]:
    return [
        {
            "subject": subject,
            "cpu_ms": plain(estimate(median, _import_cpu(raw, subject) * 1e3)),
            "rss_mb": float(np.median([each.rss_bytes for each in found])) / 1e6,
        }
        for subject, found in raw.imports.items()
    ]
