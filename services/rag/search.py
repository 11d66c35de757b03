"""Finding passages by meaning and by words at once; by words alone where nothing embeds, and saying so."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from services.llm.errors import LLMError
from services.rag.store import Documents, Hit
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
        if wish.mode is Mode.DENSE:
            hits = await documents.nearest(meaning.space, vector, wish.k, wish.collection)
        else:
            hits = await documents.both(wish.query, meaning.space, vector, wish.k, wish.collection)
    except (LLMError, ForeignSpace) as exc:
        return await _by_words(documents, wish, str(exc))
    return Found(hits=hits, mode=wish.mode)


async def _by_words(documents: Documents, wish: Wish, reason: str = "") -> Found:
    hits = await documents.search(wish.query, wish.k, wish.collection)
    return Found(hits=hits, mode=Mode.LEXICAL, reason=reason)
