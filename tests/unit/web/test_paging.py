"""Cursors: they lead on from the row that they name, and nothing that was not handed out is taken."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.web.paging import position, sliced
from services.web.problems import Problem

INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300)


def cursor_of(where: tuple[Any, ...], list_name: str = "rows", **filters: object) -> str:
    """The cursor after a row with the sort key `where`."""
    _, made = sliced([where, where], 1, list_name, lambda row: row, filters=filters)
    assert made is not None
    return made


def forged(document: str) -> str:
    """A cursor that fits its digest, made by somebody who has read our code."""
    text, seal = document.encode(), json.dumps(["rows", {}]).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(seal + b"\0" + text).digest()[:6] + text).decode().rstrip("=")


@given(INTEGERS, TEXTS)
def test_a_cursor_names_the_row_that_it_was_made_of(number: int, name: str) -> None:
    """Whatever sorts: any 64-bit integer, any text that a store takes; and it is short enough to be taken back."""
    assert position(cursor_of((name, number)), "rows", str, int, filters={}) == (name, number)


def test_the_last_page_has_no_next() -> None:
    """As many rows as asked for, and one more where there are more."""
    assert sliced([1, 2], 2, "rows", lambda row: (row,)) == ([1, 2], None)
    assert sliced([1, 2, 3], 2, "rows", lambda row: (row,))[0] == [1, 2]


def test_no_cursor_is_the_first_page() -> None:
    assert position("", "rows", int) is None


@pytest.mark.parametrize(
    ("list_name", "kinds", "filters"),
    [("others", (int,), {}), ("rows", (str,), {}), ("rows", (int, int), {}), ("rows", (int,), {"type": "person"})],
)
def test_a_cursor_of_another_list_or_filter_is_refused(list_name: str, kinds: Any, filters: object) -> None:
    """It would begin in the middle of something else."""
    with pytest.raises(Problem) as refused:
        position(cursor_of((7,)), list_name, *kinds, filters=filters)

    assert (refused.value.status_code, refused.value.code) == (400, "cursor-invalid")


@given(st.text(max_size=100) | st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode()))
@example("é")
@example("=")
@example("A" * 3000)
def test_what_we_did_not_make_is_refused(text: str) -> None:
    """Never an error of ours."""
    if not text:
        return
    with pytest.raises(Problem):
        position(text, "rows", int, filters={})


@pytest.mark.parametrize(
    "document", ["[9223372036854775808]", "[true]", "[1.5]", "[null]", "{}", "7", "[", "[" * 500, '["\\ud800"]']
)
def test_a_forged_cursor_reaches_no_store(document: str) -> None:
    """The digest has no key; what is inside is checked as well."""
    for kind in (int, str):
        with pytest.raises(Problem):
            position(forged(document), "rows", kind, filters={})


def test_a_forged_cursor_that_is_sound_is_one_of_ours() -> None:
    """It may begin anywhere in the caller's own rows, which is no harm; and `forged` does forge."""
    assert position(forged("[7]"), "rows", int, filters={}) == (7,)
