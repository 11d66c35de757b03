"""A text cut where its names and the cited passage begin and end, so that a template can mark them. Pure."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from services.ner.grounding import Mention
from services.ner.shape import EntityType

HUES = 8
_USUAL = tuple(str(kind) for kind in EntityType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of the text. `types` are of the names that it is in, `ends` of those that end with it."""

    text: str
    types: tuple[str, ...] = ()
    ends: tuple[Mention, ...] = ()
    is_cited: bool = False
    is_first_cited: bool = False


def hue(kind: str) -> int:
    """Which of the sheet's colours a type has. The usual five keep theirs; others share what is left by their name."""
    if kind in _USUAL:
        return _USUAL.index(kind)
    return len(_USUAL) + zlib.crc32(kind.encode()) % (HUES - len(_USUAL))


def pieces(text: str, mentions: Sequence[Mention], cited: tuple[int, int] | None = None) -> list[Piece]:
    """`text` in order and whole. Names may overlap; a passage outside of the text is no passage."""
    if cited is not None and not 0 <= cited[0] < cited[1] <= len(text):
        cited = None
    edges = {0, len(text), *(m.start for m in mentions), *(m.end for m in mentions), *(cited or ())}
    starting = sorted(mentions, key=lambda m: m.start)
    cuts, found, open_now, following = sorted(edges), list[Piece](), list[Mention](), 0
    for start, end in itertools.pairwise(cuts):
        while following < len(starting) and starting[following].start <= start:
            open_now.append(starting[following])
            following += 1
        open_now = [m for m in open_now if m.end > start]
        is_cited = cited is not None and cited[0] <= start < cited[1]
        found.append(
            Piece(
                text=text[start:end],
                types=tuple(dict.fromkeys(m.type for m in open_now)),
                ends=tuple(m for m in open_now if m.end == end),
                is_cited=is_cited,
                is_first_cited=cited is not None and start == cited[0],
            )
        )
    return found
