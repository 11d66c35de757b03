"""Embeddings: what a service asks, what it gets, and the space that makes two vectors comparable. Values and checks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from services.llm.errors import CallerError, ConfigError, DeadError, ErrorType
from services.llm.types import Priority, Provenance, Usage, is_text

NORM_TOLERANCE = 1e-3
"""How far the length of a normalised vector may be from 1 (float32 sums of a few thousand squares stay within)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpace:
    """What makes two vectors comparable. `revision` names the exact weights; `dimension` counts components.

    `normalised` says that every vector has length 1, within `NORM_TOLERANCE`. `pooling` is how the tokens' vectors
    become one; `prefix` goes before every text; `tokens` is where texts are cut, special tokens included, on our side
    and before any provider: one engine refuses a longer text and the other cuts it elsewhere, in silence.
    """

    model: str
    revision: str
    dimension: int
    normalised: bool
    pooling: str = ""
    prefix: str = ""
    tokens: int = 0

    @property
    def name(self) -> str:
        """One string that an index can store and compare, for example `m@r:576:unit`."""
        rest = [part for part in (self.pooling, repr(self.prefix) if self.prefix else "", self.tokens) if part]
        kind = "unit" if self.normalised else "raw"
        return ":".join(map(str, (f"{self.model}@{self.revision}", self.dimension, kind, *rest)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """Texts to be turned into vectors of one space.

    `space` is the one that the caller's index holds, where there is one: another is refused before any work.
    """

    service: str
    alias: str
    texts: tuple[str, ...]
    deadline_s: float
    space: EmbeddingSpace | None = None
    priority: Priority = Priority.BATCH
    request_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """What one provider made of the texts, in their order."""

    rows: tuple[tuple[float, ...], ...]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """One vector per text, in the order of the texts, all of `space`."""

    vectors: tuple[tuple[float, ...], ...]
    space: EmbeddingSpace
    provenance: Provenance
    duration_s: float


def check_request(request: EmbedRequest, space: EmbeddingSpace) -> None:
    """Refuse what cannot be embedded into `space`. Raises `CallerError`, `ConfigError` for a foreign space."""
    if not request.texts or not all(text.strip() for text in request.texts):
        raise CallerError("there is nothing to embed: no texts, or an empty one")
    if not all(map(is_text, request.texts)):
        raise CallerError("a text holds half of a surrogate pair")
    if not request.deadline_s > 0:
        raise CallerError(f"deadline_s={request.deadline_s} must be above 0")
    if request.space is not None and request.space != space:
        raise ConfigError(
            f"the index holds vectors of {request.space.name}, the alias {request.alias!r} makes {space.name}; "
            "embed the index anew, or name the alias that it was made with"
        )


def check_vectors(vectors: Vectors, request: EmbedRequest, space: EmbeddingSpace, *, provider: str) -> None:
    """Refuse vectors that are not of `space`. Raises `DeadError` (a count) or `ConfigError` (another model)."""
    if len(vectors.rows) != len(request.texts):
        detail = f"{len(vectors.rows)} vectors for {len(request.texts)} texts"
        raise DeadError(detail, provider=provider, type=ErrorType.BAD_RESPONSE)
    for row in vectors.rows:
        if len(row) != space.dimension:
            raise _foreign(f"a vector has {len(row)} components", space, provider)
        length = math.hypot(*row)
        if not math.isfinite(length) or (space.normalised and abs(length - 1) > NORM_TOLERANCE):
            raise _foreign(f"a vector has length {length:.4f}", space, provider)


def _foreign(what: str, space: EmbeddingSpace, provider: str) -> ConfigError:
    detail = f"{what}, not of the space {space.name}; the model behind this alias is another one"
    return ConfigError(detail, provider=provider, type=ErrorType.BAD_RESPONSE)
