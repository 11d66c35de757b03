"""What a measured run of ingestion has sent and seen, and its four quarters. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

QUARTERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes at one moment. `service` and `children` are memory of their own, `*_files` pages of files that they map.

    `store` is the size of the store's file, `log` of SQLite's log. `cpu_s` is what the service and all that it has
    started, ended or not, have used of the processor until then.
    """

    at_s: float
    service: int
    children: int
    service_files: int = 0
    children_files: int = 0
    store: int = 0
    log: int = 0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One document as the service lists it, with the bytes of its file. `at_s` in seconds since 1970."""

    id: str
    size: int
    chunks: int
    chars: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarter:
    """A quarter of a run, by bytes. `*_peak` is the most that was seen in it, `*_median` what half of the looks exceed.

    `*_files` are peaks of pages of files, all else is memory of the processes' own. `looks` is how often it was looked.
    """

    documents: int
    chunks: int
    bytes: int
    took_s: float
    looks: int
    service_peak: int
    service_median: int
    service_files: int
    children_peak: int
    children_median: int
    children_files: int
    log_peak: int


@dataclass(kw_only=True)
class Run:
    """What was sent and seen. `jobs` are the ids of the uploads' own; `failed` counts those by their reason.

    `same` counts files of which there was a document already, by their bytes or by their words. `busy_s` is by stage
    how long at least one document was there, in seconds.
    """

    began_s: float = 0.0
    took_s: float = 0.0
    sizes: dict[str, int] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)
    same: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    documents: list[Stored] = field(default_factory=list)
    seen: list[Footprint] = field(default_factory=list)
    busy_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def chunks(self) -> int:
        return sum(document.chunks for document in self.documents)

    @property
    def bytes(self) -> int:
        """Of the files that became documents."""
        return sum(document.size for document in self.documents)

    @property
    def cpu_s(self) -> float:
        return self.seen[-1].cpu_s - self.seen[0].cpu_s if self.seen else 0.0

    @property
    def busy(self) -> dict[str, float]:
        """By stage, the share of the run in which at least one document was there; together they may be above 1."""
        return {stage: seconds / max(self.took_s, 1e-9) for stage, seconds in self.busy_s.items()}


def quarters(run: Run) -> list[Quarter]:
    """The run in four parts of as many bytes each, in the order in which the documents were stored."""
    ordered = sorted(run.documents, key=lambda document: document.at_s)
    parts: list[list[Stored]] = [[] for _ in range(QUARTERS)]
    done = 0
    for document in ordered:
        parts[min(QUARTERS - 1, done * QUARTERS // max(run.bytes, 1))].append(document)
        done += document.size
    ends = [run.began_s]
    for part in parts:
        ends.append(part[-1].at_s if part else ends[-1])
    return [_quarter(run, part, begin, end) for part, (begin, end) in zip(parts, pairwise(ends), strict=True)]


def _quarter(run: Run, part: Sequence[Stored], begin: float, end: float) -> Quarter:
    seen = [s for s in run.seen if begin <= s.at_s <= end]
    service, children = (sorted(sizes) or [0] for sizes in ((s.service for s in seen), (s.children for s in seen)))
    return Quarter(
        documents=len(part),
        chunks=sum(document.chunks for document in part),
        bytes=sum(document.size for document in part),
        took_s=end - begin,
        looks=len(seen),
        service_peak=service[-1],
        service_median=service[len(service) // 2],
        service_files=max((s.service_files for s in seen), default=0),
        children_peak=children[-1],
        children_median=children[len(children) // 2],
        children_files=max((s.children_files for s in seen), default=0),
        log_peak=max((s.log for s in seen), default=0),
    )


def some(documents: Sequence[Stored], chunks: int) -> list[Stored]:
    """Documents from all over the run with about `chunks` chunks together; all of them where there are no more."""
    total, passed, taken = sum(document.chunks for document in documents), 0, 0
    found: list[Stored] = []
    for document in documents:
        if taken * total <= passed * chunks:
            found.append(document)
            taken += document.chunks
        passed += document.chunks
    return list(documents) if total <= chunks else found
