"""RAG's pure parts: cutting passages, and a person's words as a query. And the corpus that ships."""

from __future__ import annotations

from itertools import pairwise

import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from services import sample
from services.ner.shape import EntityType
from services.rag.chunking import TARGET_CHARS, Span, passages, supporting
from services.store import sqlite
from services.store.lexical import WordIndex
from services.store.words import terms

TEXTS = st.text(alphabet=st.sampled_from("ab .!\n\t\u2028é\N{WARNING SIGN}"), max_size=400)


class TestPassages:
    @given(TEXTS)
    def test_nothing_but_white_space_is_lost(self, text: str) -> None:
        """The passages, in order and without overlap, hold every character that is not white space."""
        spans = passages(text, target=40)

        kept = "".join(text[s.start : s.end] for s in spans)
        assert "".join(kept.split()) == "".join(text.split())
        assert all(a.end <= b.start for a, b in pairwise(spans))

    @given(TEXTS)
    def test_a_passage_is_trimmed_and_not_too_long(self, text: str) -> None:
        """No empty passages, no white space around them, none above the target."""
        for span in passages(text, target=40):
            cut = text[span.start : span.end]
            assert cut == cut.strip() != ""
            assert len(cut) <= 40

    def test_neighbouring_paragraphs_are_merged_up_to_the_target(self) -> None:
        """Short paragraphs share a passage; what does not fit begins the next one."""
        paragraph = "x" * 250
        spans = passages("\n\n".join([paragraph] * 3))

        assert spans == [Span(start=0, end=502), Span(start=504, end=754)]
        assert spans[0].end <= TARGET_CHARS

    def test_a_long_paragraph_is_split_at_a_sentence(self) -> None:
        """Where there is a sentence end, no sentence is torn."""
        text = "One sentence here. " * 5
        spans = passages(text, target=45)

        assert [text[s.start : s.end] for s in spans] == ["One sentence here. One sentence here."] * 2 + [
            "One sentence here."
        ]

    def test_the_quote_is_the_sentence_nearest_to_the_answer(self) -> None:
        """Shared words decide; the span stays exact."""
        text = "Heron is in Porto. The backup starts at 02:40. Coffee is free."
        span = supporting(text, Span(start=0, end=len(text)), "It starts at 02:40")

        assert text[span.start : span.end] == "The backup starts at 02:40."


class TestWords:
    @given(st.text(max_size=60))
    def test_no_words_are_ever_a_syntax_error(self, words: str) -> None:
        """Whatever is typed is either nothing to search or a query that the index takes."""
        index = WordIndex("words", ("title", "text"), (2.0, 1.0))
        engine = sqlite.engine(sqlalchemy.make_url("sqlite://"), writes=True, connections=1)
        with engine.begin() as c:
            index.create(c)
            matches = index.matches(c, words)
            if matches is not None:
                c.execute(select(matches.c.key)).all()
        engine.dispose()

    def test_stop_words_and_repeats_are_left_out(self) -> None:
        """They slow the search and find worse passages."""
        assert terms("When does the backup of the Backup start?") == ["backup", "start"]


class TestSample:
    def test_there_is_enough_of_everything(self) -> None:
        """Documents, questions, notes and paragraphs for a first measurement."""
        assert len(sample.documents()) >= 10
        assert len(sample.questions()) >= 8
        assert len(sample.notes()) >= 6
        assert len(sample.paragraphs()) >= 8

    def test_every_answer_stands_in_its_document(self) -> None:
        """A question can be answered from the document that it names."""
        texts = {d.title: d.text for d in sample.documents()}

        assert [q for q in sample.questions() if not any(p in texts[q.title] for p in q.phrases)] == []

    def test_every_gold_name_stands_in_its_paragraph(self) -> None:
        """With a type that NER knows, at most as many as NER lists, none longer than it may be."""
        for paragraph in sample.paragraphs():
            assert all(e.text in paragraph.text for e in paragraph.entities)
            assert {e.type for e in paragraph.entities} <= set(EntityType)
            assert len(paragraph.entities) <= 5
            assert max(len(e.text) for e in paragraph.entities) <= 40
