"""The measurement of RAG's search fills both stores with what is like real chunks, and asks them in turns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from services.evaluation.chunks import drawn
from services.evaluation.neighbours import Neighbours
from services.evaluation.speed import WARM_UP, K, Store, nearest, timed
from services.evaluation.subjects import Times
from services.llm.registry import model
from services.rag.store_documents import StoredDocuments
from services.store.errors import StoreError

TEXTS = ["The fan of rack B hums at night. " * 40, "Restores are run by Mara."]


def vectors(count: int = 2) -> np.ndarray:
    made = np.random.default_rng(3).normal(size=(count, 384)).astype("f4")
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_chunks_are_windows_of_texts_and_near_to_where_they_come_from() -> None:
    """Of length 1, the same for a seed, and none longer than a chunk is."""
    made = list(drawn(TEXTS, vectors(), 50, seed=1))
    near = [max(float(np.dot(v, one)) for one in vectors()) for _, v in made]

    assert all(any(text in whole for whole in TEXTS) and 0 < len(text) <= 600 for text, _ in made)
    assert all(0.85 < cosine < 0.97 for cosine in near)
    assert made == list(drawn(TEXTS, vectors(), 50, seed=1))
    assert made != list(drawn(TEXTS, vectors(), 50, seed=2))


async def test_a_filled_store_is_searched_by_meaning_and_words(store_url: str) -> None:
    """Every question once per subject and measured, the first ones twice; the clock is ours, and both stores agree."""
    ticks = itertools.count()
    space = model("minilm").space
    assert space is not None
    asked = [(f"who runs restores {n}", tuple(map(float, vectors()[1]))) for n in range(WARM_UP + 2)]
    async with StoredDocuments(store_url) as stored:
        store = Store(stored, "minilm", clock=lambda: next(ticks) / 1000)
        await store.add(list(drawn(TEXTS, vectors(), 120, seed=1)))
        times = await timed({"here": store}, asked)

        assert (await stored.check())["vectors"].endswith(space.name)
    assert times["here"].ms == pytest.approx([1.0] * len(asked))
    assert times["here"].cpu_mean_ms is None


async def test_what_a_store_finds_by_meaning_is_told_by_the_numbers_of_chunks(store_url: str) -> None:
    """Among so few hardly one is missed, whichever batch and document a chunk came in."""
    asked = [("restores", tuple(map(float, vector))) for vector in vectors()]
    exact = Neighbours([vector for _, vector in asked], K)
    chunks = list(drawn(TEXTS, vectors(), 250, seed=1))
    async with StoredDocuments(store_url) as stored:
        store = Store(stored, "minilm", cpu=itertools.count().__next__)
        for batch in (chunks[:130], chunks[130:]):
            await store.add(batch)
            exact.add([vector for _, vector in batch])

        assert exact.recall(await nearest(store, asked)) >= 0.9
        assert (await store.search(*asked[0], K)).cpu_ms == 1000


async def test_a_search_that_finds_nothing_is_no_measurement(store_url: str) -> None:
    """It would be fast."""
    async with StoredDocuments(store_url) as stored:
        with pytest.raises(StoreError, match="found 0 passages, hybrid"):
            await Store(stored, "minilm").search("restores", vectors()[1].tolist(), K)


def test_quantiles_are_those_of_numpy() -> None:
    times = Times(ms=tuple(float(n) for n in range(101)))

    assert (times.quantile(0.5), times.quantile(0.95)) == (50.0, 95.0)
