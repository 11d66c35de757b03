"""Holds the service's stored vectors against its own embedder and both engines: the space (E5), and who is found (E4).

The service tells its spaces at /readyz. Who would be found by an engine's vectors is asked over HTTP alone: the
passages that dense searches give are a pool; the engine embeds pool and questions, and ranks. Whatever of the index's
top ten is among the engine's best ten of all passages is among its best ten of the pool too, so this overlap is never
below the true one: too small is certain, large enough is as far as the pool shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import httpx2

from services.llm.cutting import TOKENIZER, Cutter
from services.llm.errors import LLMError
from services.llm.registry import Model, models
from services.llm.spaces import EmbeddingSpace
from services.migration import pages
from services.migration.asking import Asker
from services.migration.doctor_embeddings import cosine, told, unit, vectors_of
from services.migration.doctor_wire import Wire
from services.migration.engines import Reached
from services.migration.findings import Finding, Level, compared
from services.settings import Settings

BY_MEANING = "meaning and words: "
"""How RAG's /readyz begins to say into which space it embeds; else it says why it does not."""

REINDEX = "make every vector anew with `cutover reindex rag`"
QUESTIONS, MOST_PASSAGES, DEEP, TOP = 50, 300, 20, 10
"""Questions that are asked, passages that are embedded, passages of one search (the most that RAG gives), and ten."""

AT_ONCE = 32
SEARCH_S = 30.0
OVERLAP = 0.9
"""The share of the index's top ten that an engine's vectors must find too (`reference/engines.md`, section 4, E4)."""

Cut = Callable[[Model], Callable[[str], str] | None]
"""How texts of a model's space are cut before anybody embeds them; None where nobody here can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What one dense search found: the passages' keys, best first."""

    question: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What one engine made of some texts; no vectors where it does not embed them all."""

    name: str
    vectors: list[list[float]]
    reached: Reached


def cutter(settings: Settings, entry: Model) -> Callable[[str], str] | None:
    """As the services cut: by the tokenizer beside the weights, where the space says so."""
    assert entry.space is not None
    if not entry.space.tokens:
        return str
    file = entry.source.folder(settings.engines_dir, entry.alias) / TOKENIZER if entry.source else None
    return Cutter(file, tokens=entry.space.tokens).cut if file and file.is_file() else None


async def index(found: Wire, asker: Asker, cut: Cut) -> list[Finding]:
    """What is to be said of RAG's index. Raises `EngineUnreachable`."""
    uses = await _uses(asker)
    stored, search = pages.text(uses, "vectors"), pages.text(uses, "search")
    early = before_engines(stored, search)
    if early is not None:
        return [early]
    made = _made(search)
    entry = next((m for m in models().values() if m.space is not None and m.space.name == made), None)
    if entry is None:
        said = f"{made}, which no alias of models.toml has"
        return [compared("existing index", said, said, warn="name the embedding model in models.toml")]
    engines = [await _asked(found, entry, name, ["a word"]) for name in ("ollama", "vllm")]
    says = [spaced(entry, stored, engines)]
    able = [e.name for e in engines if e.vectors]
    return (
        says if not able or says[0].level is not Level.PASS else [*says, await _found(found, asker, entry, able, cut)]
    )


async def _uses(asker: Asker) -> Mapping[str, Any]:
    """What the service works with; nothing where it does not tell."""
    try:
        answer = await asker.client.get(f"{asker.url}/readyz", timeout=SEARCH_S)
        return pages.table(pages.table(pages.parsed(answer.content)).get("uses"))
    except (httpx2.HTTPError, ValueError):
        return {}


def _made(search: str) -> str:
    """The space that the service embeds into; empty where it does not."""
    return search.removeprefix(BY_MEANING) if search.startswith(BY_MEANING) else ""


def before_engines(stored: str, search: str) -> Finding | None:
    """What can be said without an engine; None where store and embedder are of one space. Pure.

    `stored` and `search` are what /readyz says under `uses.vectors` and `uses.search`.
    """
    made = _made(search)
    said = f"the store: {stored or 'not told'}; the service: {search or 'not told'}"
    if not stored or not search:
        step = "the service does not tell its index at /readyz: see that it is up, and of this version"
        return compared("existing index", said, said, warn=step)
    if "no vectors" in stored:
        step = f"nothing is stored by meaning yet: documents from before the embedder are found by words; {REINDEX}"
        return compared("existing index", said, said, warn=step if made else "")
    if not made:
        return compared("existing index", said, said, warn="vectors lie there and nothing embeds: set EMBED_MODEL")
    if not stored.endswith(f": {made}"):
        step = "stored vectors are of another space than the embedder's, so words alone find: "
        step += f"{REINDEX}, or configure the embedder that they were made with"
        return compared("existing index", said, said, fail=step)
    return None


def spaced(entry: Model, stored: str, engines: Sequence[Engine]) -> Finding:
    """Whether what each engine makes could stand in this index. An engine that does not embed cannot harm it. Pure."""
    assert entry.space is not None
    shown = [f"the store: {stored}; {e.name}: {told(e.vectors, e.reached)}" for e in engines]
    other = " and ".join(e.name for e in engines if e.vectors and not _fits(entry.space, e.vectors))
    step = f"another model than {entry.alias} lies behind {other}: do not let it embed, or {REINDEX} with it"
    return compared("existing index", *shown, fail=step if other else "")


def _fits(space: EmbeddingSpace, vectors: list[list[float]]) -> bool:
    return len(vectors[0]) == space.dimension and (unit(vectors) or not space.normalised)


async def _asked(found: Wire, entry: Model, engine: str, texts: Sequence[str]) -> Engine:
    name = entry.names.get(engine, "")
    if not name:
        reached = Reached(status=0, body={"error": f"{entry.alias} has no name for it in models.toml"})
    elif engine == "ollama":
        reached = await found.ollama("/api/embed", {"model": name, "input": list(texts), "truncate": False})
    else:
        reached = await found.embeddings({"model": name, "input": list(texts)})
    rows = vectors_of(reached) if reached.ok else []
    return Engine(name=engine, vectors=rows if len(rows) == len(texts) else [], reached=reached)


async def _found(found: Wire, asker: Asker, entry: Model, able: Sequence[str], cut: Cut) -> Finding:
    """Each engine's share of the index's top ten. The questions are those of the service's recipe."""
    check = "existing index, top ten"
    field = asker.workload.nonce_field
    questions = list(dict.fromkeys(str(i.body[field]) for i in asker.workload.items))[:QUESTIONS]
    searches, pool, why = await _searched(asker, questions)
    cutter = cut(entry)
    if cutter is None:
        why = f"the tokenizer of {entry.alias} is not on this machine, and longer texts would be cut by each engine"
    if why or cutter is None:
        return compared(check, f"not asked: {why}", f"not asked: {why}", warn="see the reason, then ask again")
    try:
        texts = await asyncio.to_thread(lambda: [cutter(t) for t in (*pool.values(), *(s.question for s in searches))])
    except LLMError as exc:
        return compared(check, f"not asked: {exc}", f"not asked: {exc}", warn="see the reason, then ask again")
    prefix = entry.space.prefix if entry.space else ""
    shares = {e: await _share(found, entry, e, [prefix + t for t in texts], searches, list(pool)) for e in able}
    return shared(shares, len(searches), len(pool))


async def _searched(asker: Asker, questions: Sequence[str]) -> tuple[list[Search], dict[str, str], str]:
    """Dense searches, the passages they gave by key, and why they show nothing if they do not."""
    searches: list[Search] = []
    pool: dict[str, str] = {}
    for question in questions:
        try:
            body = {"query": question, "k": DEEP, "mode": "dense"}
            answer = await asker.client.post(
                f"{asker.url}/v1/search", json=body, headers=asker.keys.headers(), timeout=SEARCH_S
            )
            said = pages.table(pages.parsed(answer.content))
        except (httpx2.HTTPError, ValueError) as exc:
            return [], {}, f"/v1/search does not answer ({type(exc).__name__})"
        if answer.status_code != 200 or said.get("mode") != "dense":
            return (
                [],
                {},
                f"/v1/search: HTTP {answer.status_code} {pages.text(said, 'reason') or said.get('detail', '')}",
            )
        hits = {f"{h.get('document_id')}#{h.get('chunk')}": pages.text(h, "text") for h in pages.objects(said, "hits")}
        searches.append(Search(question=question, keys=tuple(hits)))
        pool |= hits
        if len(pool) >= MOST_PASSAGES:
            break
    few = f"only {len(pool)} passages are found, so every ranking finds the same ten" if len(pool) <= 2 * TOP else ""
    return searches, pool, few


async def _share(
    found: Wire, entry: Model, engine: str, texts: Sequence[str], searches: Sequence[Search], keys: Sequence[str]
) -> float | None:
    """The mean overlap of one engine; None where it did not embed every text."""
    rows: list[list[float]] = []
    for start in range(0, len(texts), AT_ONCE):
        lot = await _asked(found, entry, engine, texts[start : start + AT_ONCE])
        if not lot.vectors:
            return None
        rows += lot.vectors
    return overlap(searches, dict(zip(keys, rows, strict=False)), rows[len(keys) :])


def overlap(
    searches: Sequence[Search], pool: Mapping[str, Sequence[float]], questions: Sequence[Sequence[float]]
) -> float:
    """The mean share of each search's first ten that are among the ten nearest of the pool. Pure."""
    shares = []
    for search, vector in zip(searches, questions, strict=True):
        best = sorted(pool, key=lambda key, v=vector: (-cosine(v, pool[key]), key))[:TOP]  # type: ignore[misc]
        first = search.keys[:TOP]
        shares.append(len({*first} & {*best}) / len(first) if first else 1.0)
    return fmean(shares) if shares else 0.0


def shared(shares: Mapping[str, float | None], questions: int, passages: int) -> Finding:
    """One finding of both engines. An engine that does not embed says so. Pure."""

    def said(engine: str) -> str:
        share = shares.get(engine)
        if share is None:
            return "does not embed all of them"
        return f"at most {share:.3f} of the index's top {TOP}, {questions} questions on {passages} passages"

    low = [engine for engine, share in shares.items() if share is not None and share < OVERLAP]
    step = f"{' and '.join(low)} would find others (below {OVERLAP}): do not let it embed for this index, or {REINDEX}"
    return compared("existing index, top ten", said("ollama"), said("vllm"), fail=step if low else "")
