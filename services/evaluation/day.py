"""A day's work for the three services, each piece asked of both engines in turn: what came back, counted and timed.

It speaks HTTP as a team's programs do. An answer counts for an engine only where that engine gave it: what the other
one gave instead is a fallback, told as such. Nothing is compared by a margin here; that is what the gate is for.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from services.evaluation import pieces
from services.evaluation.pieces import Piece
from services.evaluation.questions import Question
from services.evaluation.sections import Section

ARMS = ("ollama", "vllm")
POLL_S = 0.5
PAGE = 100

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where the services answer, the token that lets a caller choose the engine, and an HTTP client for all of it."""

    urls: Mapping[str, str]
    token: str
    http: httpx2.AsyncClient

    async def ask(self, piece: Piece, arm: str) -> Said:
        """One request. What fails is an answer too: its reason is counted."""
        headers = {"X-LLM-First": arm, "X-Admin-Token": self.token}
        began = time.perf_counter()
        try:
            response = await self.http.post(self.urls[piece.service] + piece.path, json=piece.body, headers=headers)
            body = response.json()
        except (httpx2.HTTPError, ValueError) as exc:
            return Said(arm=arm, seconds=time.perf_counter() - began, reason=type(exc).__name__)
        seconds = time.perf_counter() - began
        if response.is_error:
            return Said(arm=arm, seconds=seconds, reason=str(body.get("type", response.status_code)))
        made = body.get("llm") or {}
        by, fallback = made.get("provider", ""), made.get("fallback_reason") or ""
        return Said(arm=arm, seconds=seconds, by=by, fallback=fallback, facts=piece.read(body))

    async def get(self, service: str, path: str, **params: str | int) -> Any:
        """The JSON of a page. Raises `httpx2.HTTPError`."""
        response = await self.http.get(self.urls[service] + path, params=params)
        response.raise_for_status()
        return response.json()


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer: which engine gave it ("" where none was needed), what it is worth, or why there is none.

    `fallback` is why the engine that was to answer first did not.
    """

    arm: str
    seconds: float
    by: str = ""
    fallback: str = ""
    reason: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """Stored documents, and why others are not (reason -> how many). `seconds` from first upload to last job."""

    documents: int
    passages: int
    refused: Mapping[str, int]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one engine did of one kind of work: medians in seconds, means of what the answers were worth.

    `fallbacks` and `failed` count by reason.
    """

    what: str
    arm: str
    asked: int
    answered: int
    fallbacks: Mapping[str, int]
    failed: Mapping[str, int]
    median_s: float
    facts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """All of it."""

    ingested: Ingested
    rows: Sequence[Row]

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong, a sentence each."""
        found = [f"{n} documents were not stored: {why}" for why, n in self.ingested.refused.items()]
        for row in self.rows:
            found += [f"{row.what} by {row.arm}: {n} failed: {why}" for why, n in row.failed.items()]
            for why, n in row.fallbacks.items():
                found.append(f"{row.what} by {row.arm}: {n} answered by the other engine: {why}")
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the day is made of: pages by name, and how many of each piece. `asked` point into `passages`."""

    pages: Sequence[tuple[str, bytes]]
    passages: Sequence[Section]
    asked: Sequence[Question]
    questions: int = 50
    notes: int = 100
    paragraphs: int = 60


async def day(desk: Desk, work: Work, progress: Progress) -> Day:
    """All of it, one kind of work after the other. Raises `httpx2.HTTPError` where nothing can be stored."""
    stored = await ingested(desk, work.pages, progress)
    kinds = {
        "questions": pieces.questions(work.asked, work.passages, work.questions),
        "summaries": await _noted(desk, pieces.notes(work.passages, work.notes)),
        "names": pieces.paragraphs(work.passages, work.paragraphs),
    }
    rows = [row for what, found in kinds.items() for row in await asked(desk, what, found, progress)]
    return Day(ingested=stored, rows=rows)


async def ingested(desk: Desk, pages: Sequence[tuple[str, bytes]], progress: Progress) -> Ingested:
    """Send every page as a file, then wait until each job is done or has failed. Raises `httpx2.HTTPError`."""
    began, url = time.perf_counter(), f"{desk.urls['rag']}/v1/documents"
    for number, (name, data) in enumerate(pages, start=1):
        file = (name.rpartition("/")[2], data, "text/html")
        sent = await desk.http.post(url, files={"file": file}, data={"title": name})
        sent.raise_for_status()
        progress(f"sent {number}/{len(pages)}")
    while waiting := await _unfinished(desk):
        progress(f"{waiting} jobs to go")
        await asyncio.sleep(POLL_S)
    seconds = time.perf_counter() - began
    refused = Counter([job["error"]["code"] async for job in _pages(desk, "/v1/jobs", "jobs", state="failed")])
    chunks = [d["chunks"] async for d in _pages(desk, "/v1/documents", "documents")]
    return Ingested(documents=len(chunks), passages=sum(chunks), refused=dict(refused), seconds=seconds)


async def asked(desk: Desk, what: str, pieces: Sequence[Piece], progress: Progress) -> list[Row]:
    """Every piece by both engines, one request at a time; which of them begins changes from piece to piece."""
    said: list[Said] = []
    for number, piece in enumerate(pieces):
        for arm in ARMS if number % 2 else ARMS[::-1]:
            said.append(await desk.ask(piece, arm))
        progress(f"{what} {number + 1}/{len(pieces)}")
    return [_row(what, arm, [one for one in said if one.arm == arm]) for arm in ARMS]


def _row(what: str, arm: str, said: Sequence[Said]) -> Row:
    good = [one for one in said if not one.reason]
    own = [one for one in good if one.by in (arm, "")]
    names = list(dict.fromkeys(name for one in own for name in one.facts))
    return Row(
        what=what,
        arm=arm,
        asked=len(said),
        answered=len(own),
        fallbacks=dict(Counter(one.fallback for one in good if one.by not in (arm, ""))),
        failed=dict(Counter(one.reason for one in said if one.reason)),
        median_s=statistics.median([one.seconds for one in own]) if own else 0.0,
        facts={name: statistics.fmean(one.facts[name] for one in own if name in one.facts) for name in names},
    )


async def _noted(desk: Desk, texts: Sequence[tuple[str, str]]) -> list[Piece]:
    """Save the notes; what is asked of each."""
    found = []
    for title, text in texts:
        saved = await desk.http.post(f"{desk.urls['notes']}/v1/notes", json={"title": title, "text": text})
        saved.raise_for_status()
        found.append(pieces.summary(saved.json()["id"], text))
    return found


async def _unfinished(desk: Desk) -> int:
    waiting = [await desk.get("rag", "/v1/jobs", state=state, limit=PAGE) for state in ("queued", "running")]
    return sum(len(page["jobs"]) for page in waiting)


async def _pages(desk: Desk, path: str, name: str, **params: str) -> AsyncIterator[Any]:
    after: str | None = ""
    while after is not None:
        page = await desk.get("rag", path, limit=PAGE, after=after, **params)
        for one in page[name]:
            yield one
        after = page["next"]
