"""Finding passages by meaning and by words at once; by words alone where nothing embeds, and saying so."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.llm.errors import LLMError
from services.rag.store import Documents, Hit
from services.store.blend import CANDIDATES, blended
from services.store.vectors import ForeignSpace
from services.web.meaning import Meaning

NOTHING_EMBEDS = "no embedding model is configured; set EMBED_MODEL"


class Mode(enum.StrEnum):
    """How passages are found: by meaning and words, by meaning alone, by words alone."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Passages, best first. `mode` is how they were found, `reason` why not as it was asked, else empty."""

    hits: Sequence[Hit]
    mode: Mode
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to look for: the `k` best passages for `query`, in one collection where one is named."""

    query: str
    k: int
    collection: str | None = None
    mode: Mode = Mode.HYBRID


async def found(documents: Documents, meaning: Meaning | None, wish: Wish) -> Found:
    """The passages. An embedder that fails or makes vectors of another space leaves the words. Raises `StoreError`."""
    if wish.mode is Mode.LEXICAL:
        return await _by_words(documents, wish)
    if meaning is None:
        return await _by_words(documents, wish, NOTHING_EMBEDS)
    try:
        vector = await meaning.of_query(wish.query)
        near = await documents.nearest(meaning.space, vector, _depth(wish), wish.collection)
    except (LLMError, ForeignSpace) as exc:
        return await _by_words(documents, wish, str(exc))
    if wish.mode is Mode.DENSE:
        return Found(hits=near[: wish.k], mode=Mode.DENSE)
    worded = await documents.search(wish.query, _depth(wish), wish.collection)
    return Found(hits=_blend(near, worded)[: wish.k], mode=Mode.HYBRID)


async def _by_words(documents: Documents, wish: Wish, reason: str = "") -> Found:
    hits = await documents.search(wish.query, wish.k, wish.collection)
    return Found(hits=hits, mode=Mode.LEXICAL, reason=reason)


def _depth(wish: Wish) -> int:
    return max(wish.k, CANDIDATES) if wish.mode is Mode.HYBRID else wish.k


def _blend(near: Sequence[Hit], worded: Sequence[Hit]) -> list[Hit]:
    """Both lists as one, each passage once, with its blended score."""
    hits = {(hit.document_id, hit.chunk): hit for hit in (*near, *worded)}
    numbers = {place: n for n, place in enumerate(hits)}
    places = list(hits)
    ranked = blended(*([(numbers[hit.document_id, hit.chunk], hit.score) for hit in one] for one in (near, worded)))
    return [replace(hits[places[n]], score=score) for n, score in ranked]
