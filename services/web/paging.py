"""Cursor paging: where the next page of a list begins, as a string that callers hand back and never read.

A cursor is bound to its list and to what the list was filtered by, so that it cannot be used with another one. It is
no secret: a store that is bound to a workspace shows only its own rows, wherever a page begins.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from services.llm.types import is_text
from services.web.problems import Problem

T = TypeVar("T")
Position = tuple[int | str, ...]
"""The sort key of the last row of a page: the next page holds the rows after it."""

MAX_PAGE = 100
MAX_CURSOR_CHARS = 2048
_SEAL_BYTES = 6

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")]
After = Annotated[str, Query(max_length=MAX_CURSOR_CHARS, description="The `next` of the page before; empty: first.")]


def position(after: str, list_name: str, *kinds: type[int] | type[str], filters: object = None) -> Position | None:
    """Where the page of `list_name` begins that `after` asks for; None for the first page.

    `kinds` are the types of the sort key. Raises `Problem` 400 for what `sliced` did not give for this same list and
    these same `filters` (anything JSON).
    """
    if not after:
        return None
    found = _opened(after, _seal_of(list_name, filters))
    if found is None or [type(part) for part in found] != list(kinds):
        raise Problem(400, "cursor-invalid", "`after` is not the `next` of a page of this list with these filters")
    return tuple(found)


def sliced(
    rows: Sequence[T], limit: int, list_name: str, key: Callable[[T], Position], *, filters: object = None
) -> tuple[Sequence[T], str | None]:
    """At most `limit` of `rows`, and the cursor of the next page. The store was asked for one row more than `limit`."""
    shown = rows[:limit]
    if len(rows) <= limit:
        return shown, None
    return shown, _sealed(key(shown[-1]), _seal_of(list_name, filters))


def _seal_of(list_name: str, filters: object) -> bytes:
    return json.dumps([list_name, filters], sort_keys=True).encode()


def _sealed(where: Position, seal: bytes) -> str:
    text = json.dumps(where, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_digest(text, seal) + text).decode().rstrip("=")


def _opened(cursor: str, seal: bytes) -> list[int | str] | None:
    """What `_sealed` put in; None for anything that it did not make."""
    if not (cursor.isascii() and len(cursor) <= MAX_CURSOR_CHARS):
        return None
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    text = whole[_SEAL_BYTES:]
    if whole[:_SEAL_BYTES] != _digest(text, seal):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # the seal has no key: somebody may have made this one up
        return None
    return found if isinstance(found, list) and all(map(_is_storable, found)) else None


def _is_storable(part: object) -> bool:
    """Whether a store can be asked for it: an integer of 64 bits, or text without NUL."""
    if isinstance(part, str):
        return is_text(part) and "\0" not in part
    return isinstance(part, int) and -(2**63) <= part < 2**63


def _digest(text: bytes, seal: bytes) -> bytes:
    return hashlib.sha256(seal + b"\0" + text).digest()[:_SEAL_BYTES]
