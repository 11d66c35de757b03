"""What readers say of answers, on SQLite and on PostgreSQL: kept once, counted by producer, deleted for good."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, func, select, text

from services.rag.feedback import Judgement, Rating, Share, WrongCitation
from services.rag.store_documents import StoredDocuments
from services.rag.store_feedback import WorkspaceFeedback
from services.rag.store_tables import FEEDBACK, REPLIES
from services.store.clock import utc_now
from services.store.replies import Reply
from services.web.provenance import Producer
from tests.contract.stored import NEW

VLLM = Producer(provider="vllm", engine="vllm", model="tiny", prompt_version="ask-1", at="then", digest="root:org/tiny")
OLLAMA = VLLM.model_copy(update={"provider": "ollama", "engine": "ollama", "digest": "8b7a"})
SAID = Judgement(rating=Rating.DOWN, question="When?", answer="At 03:40 [1].", request_id="r1", producer=VLLM)


@pytest.fixture
def book(store: StoredDocuments) -> WorkspaceFeedback:
    return store.feedback_of("default")


def counted(c: Connection) -> list[int]:
    """How many judgements and replies there are."""
    return [c.execute(select(func.count()).select_from(t)).scalar_one() for t in (FEEDBACK, REPLIES.table)]


class TestJudging:
    async def test_a_judgement_is_kept_with_all_that_was_said(self, book: WorkspaceFeedback) -> None:
        """But the words of the answer, which are the document's."""
        wrong = WrongCitation(n=1, document_id="d", start=3, end=9)
        kept, is_new = await book.judge(replace(SAID, comment="It is 02:40.", wrong=wrong), "ana")

        assert is_new
        assert (kept.rating, kept.question, kept.comment, kept.reader) == (Rating.DOWN, "When?", "It is 02:40.", "ana")
        assert (kept.producer, kept.wrong, kept.about) == (VLLM, wrong, SAID.about)
        assert await book.one(kept.id) == kept
        assert await book.page(9, None) == [kept]

    async def test_a_reader_has_one_word_on_each_answer(self, book: WorkspaceFeedback) -> None:
        """The last one, whole; others have their own, and another answer is another thing."""
        first, _ = await book.judge(replace(SAID, comment="Wrong."), "ana")
        again, is_new = await book.judge(replace(SAID, rating=Rating.UP), "ana")
        assert (again.id, is_new, again.rating, again.comment) == (first.id, False, Rating.UP, "")
        others = [
            await book.judge(SAID, "bo"),
            await book.judge(replace(SAID, request_id="r2"), "ana"),
            await book.judge(replace(SAID, answer="Other."), "ana"),
        ]
        assert [is_new for _, is_new in others] == [True, True, True]
        assert [f.id for f in await book.page(9, None)] == [f.id for f, _ in reversed(others)] + [first.id]

    async def test_pages_hold_each_once_and_only_what_is_asked_for(self, book: WorkspaceFeedback) -> None:
        """By rating, by provider, and without a model."""
        for n in range(5):
            rating, by = (Rating.UP, VLLM) if n % 2 else (Rating.DOWN, OLLAMA)
            await book.judge(replace(SAID, rating=rating, producer=by, request_id=f"r{n}"), "")
        await book.judge(replace(SAID, producer=None, request_id=""), "")
        first = await book.page(4, None)
        rest = await book.page(4, first[-1].number)

        assert len({f.id for f in (*first, *rest)}) == 6
        assert [f.request_id for f in await book.page(9, None, rating=Rating.UP)] == ["r3", "r1"]
        assert [f.request_id for f in await book.page(9, None, provider="ollama")] == ["r4", "r2", "r0"]
        assert [f.producer for f in await book.page(9, None, provider="")] == [None]

    async def test_ratings_are_counted_by_who_made_the_answers(self, book: WorkspaceFeedback) -> None:
        """Each with an interval, because few ratings prove little; two digests of a model are two producers."""
        newer = OLLAMA.model_copy(update={"digest": "9c1d"})
        for n, (by, rating) in enumerate(
            [(VLLM, Rating.UP), (VLLM, Rating.UP), (VLLM, Rating.DOWN), (OLLAMA, Rating.UP), (newer, Rating.DOWN)]
        ):
            await book.judge(replace(SAID, producer=by, rating=rating, request_id=f"r{n}"), "")
        tallies = await book.tallies()

        assert [(t.provider, t.digest, t.up, t.down) for t in tallies] == [
            ("ollama", "8b7a", 1, 0),
            ("ollama", "9c1d", 0, 1),
            ("vllm", "root:org/tiny", 2, 1),
        ]
        assert tallies[2].helped == Share(
            value=pytest.approx(2 / 3), low=pytest.approx(0.208, abs=1e-3), high=pytest.approx(0.939, abs=1e-3)
        )
        assert (tallies[0].helped.high, tallies[1].helped.low) == (1, 0)


class TestForgetting:
    async def test_what_is_deleted_is_gone_with_the_reply_about_it(
        self, store: StoredDocuments, book: WorkspaceFeedback
    ) -> None:
        """A reply that is kept for a retry quotes the comment."""
        kept, _ = await book.judge(SAID, "")
        reply = Reply(status=201, headers={}, body=b"quoted")

        def keep(c: Connection) -> None:
            REPLIES.claim(c, "default", "k", "print", at=utc_now())
            REPLIES.keep(c, "default", "k", reply, location=f"/v1/feedback/{kept.id}")

        await store.database.write(keep)
        assert await store.database.read(counted) == [1, 1]
        assert await book.delete(kept.id)
        assert not await book.delete(kept.id)
        assert (await book.one(kept.id), await book.page(9, None), await book.tallies()) == (None, [], [])
        assert await store.database.read(counted) == [0, 0]

    async def test_a_deleted_document_is_no_longer_named_by_a_judgement(
        self, store: StoredDocuments, book: WorkspaceFeedback
    ) -> None:
        """The judgement stays; another workspace's of an equal document keeps its own."""
        documents, theirs = store.of("default"), store.of("other")
        document, _ = await documents.put(NEW)
        await theirs.put(NEW)
        wrong = WrongCitation(n=2, document_id=document.id, start=0, end=5)
        mine, _ = await book.judge(replace(SAID, wrong=wrong), "")
        other, _ = await store.feedback_of("other").judge(replace(SAID, wrong=wrong), "")
        await documents.delete(document.id)

        assert await book.one(mine.id) == replace(mine, wrong=None)
        assert await store.feedback_of("other").one(other.id) == other


async def test_one_workspace_sees_nothing_of_another(store: StoredDocuments) -> None:
    """Neither by id, list, count nor deletion."""
    mine, theirs = store.feedback_of("default"), store.feedback_of("other")
    kept, _ = await theirs.judge(SAID, "")

    assert (await mine.one(kept.id), await mine.page(9, None), await mine.tallies()) == (None, [], [])
    assert not await mine.delete(kept.id)
    assert await theirs.one(kept.id) == kept


async def test_a_store_of_before_gets_the_table_when_it_is_opened(store_url: str) -> None:
    """With every row that it had."""
    async with StoredDocuments(store_url) as older:
        document, _ = await older.of("default").put(NEW)
        await older.database.write(lambda c: c.execute(text("DROP TABLE feedback")))
    async with StoredDocuments(store_url) as opened:
        kept, is_new = await opened.feedback_of("default").judge(SAID, "")
        found = await opened.of("default").get(document.id)

    assert (is_new, kept.rating, found) == (True, Rating.DOWN, document)
