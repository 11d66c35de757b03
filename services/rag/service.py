"""RAG's use cases: add documents, find passages, answer from them with citations."""

from __future__ import annotations

from prometheus_client import Counter

from services.rag.answers import DocumentSources
from services.rag.feedback import Feedback, FeedbackBook, Judgement
from services.rag.ingest import Ingest, Wanted
from services.rag.search import Found, Wish, found
from services.rag.store import Document, Documents
from services.web.answering import Answering
from services.web.meaning import Meaning
from services.web.room import Client


class Rag:
    """The use cases. `context` is the smallest window of the chain, in tokens."""

    def __init__(
        self,
        *,
        service: str,
        alias: str,
        context: int,
        documents: Documents,
        client: Client,
        ingest: Ingest,
        feedback: FeedbackBook,
        ratings: Counter,
        meaning: Meaning | None = None,
    ) -> None:
        self.documents = documents
        self.ingest = ingest
        self.feedback = feedback
        self._ratings = ratings
        self._meaning = meaning
        sources = DocumentSources(find=self.find, documents=documents)
        self.answers = Answering(service=service, alias=alias, context=context, client=client, sources=sources)

    async def add(self, title: str, text: str, collection: str) -> tuple[Document, bool]:
        """The stored document, and whether it is new. Raises `CollectionGone`."""
        return await self.ingest.add(self.documents, text, Wanted(title=title, collection=collection))

    async def judge(self, judgement: Judgement, reader: str) -> tuple[Feedback, bool]:
        """What `reader` says of an answer, kept, and whether it is the first word of theirs on it."""
        kept, is_new = await self.feedback.judge(judgement, reader)
        self._ratings.labels(rating=judgement.rating).inc()
        return kept, is_new

    async def find(self, wish: Wish) -> Found:
        """The passages, by meaning as well where an embedding model is set and answers; no other model is asked."""
        return await found(self.documents, self._meaning, wish)
