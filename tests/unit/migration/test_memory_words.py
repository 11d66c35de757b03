"""Amounts of memory as people read them."""

from __future__ import annotations

import pytest

from services.migration import memory_words

MIB = 2**20


@pytest.mark.parametrize(
    ("count", "text"), [(None, "?"), (0, "0 B"), (1023, "1023 B"), (1536, "1.50 KiB"), (90 * MIB, "90.00 MiB")]
)
def test_sizes_are_in_the_unit_that_fits(count: int | None, text: str) -> None:
    assert memory_words.size(count) == text
