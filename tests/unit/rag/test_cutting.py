"""Passages by the tokens of an embedding model: exact spans, none too long, nothing lost, in bounded time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from services.rag.chunking import OVERLAP_TOKENS, SECTION_CHARS, TARGET_TOKENS, Cutter, passages

PIECES = st.sampled_from(
    ["word ", "# Head\n\n", "A sentence. ", "\n\n", "- item\n", "é⚠\u2028", "x" * 900, "\t", "```\ncode\n```\n"]
)
TEXTS = st.lists(PIECES, max_size=120).map("".join)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A token is a run of letters, or of signs."""
    made = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    made.pre_tokenizer = Whitespace()
    return made


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_every_passage_is_an_exact_span_within_the_target(tokenizer: Any, text: str) -> None:
    """No passage is empty, begins or ends with white space, or has more tokens than the model is shown."""
    for span in Cutter(tokenizer).passages(text):
        cut = text[span.start : span.end]
        assert cut == cut.strip() != ""
        assert len(tokenizer.encode(cut).ids) <= TARGET_TOKENS


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_no_character_is_in_no_passage(tokenizer: Any, text: str) -> None:
    """White space aside."""
    held = bytearray(len(text))
    for span in Cutter(tokenizer).passages(text):
        held[span.start : span.end] = b"\1" * (span.end - span.start)

    assert not "".join(c for c, is_held in zip(text, held, strict=True) if not is_held).strip()


def test_neighbours_overlap_by_a_few_tokens(tokenizer: Any) -> None:
    """What is said across a border is found from both sides."""
    text = " ".join(f"word{n}." for n in range(600))
    first, second, *_ = Cutter(tokenizer).passages(text)

    shared = text[second.start : first.end]
    assert 0 < len(tokenizer.encode(shared).ids) <= OVERLAP_TOKENS


def test_a_text_without_sentences_goes_to_the_splitter_in_sections(tokenizer: Any) -> None:
    """It takes quadratic time in such a text."""
    given_: list[int] = []
    cutter = Cutter(tokenizer)
    inner = cutter._splitter
    assert inner is not None

    class Watched:
        def chunk_indices(self, text: str) -> list[tuple[int, str]]:
            given_.append(len(text))
            return inner.chunk_indices(text)

    cutter._splitter = Watched()  # type: ignore[assignment]
    cutter.passages("word " * 20_000)

    assert max(given_) <= SECTION_CHARS


@given(text=TEXTS)
@settings(max_examples=30, deadline=None)
def test_without_a_tokenizer_passages_are_counted_in_characters(text: str) -> None:
    assert Cutter().passages(text) == passages(text)
