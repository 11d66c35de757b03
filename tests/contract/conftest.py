"""What the contract's tests hold in their hands, on whichever store `store_url` names."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.ner.store import Graph, Graphs
from services.rag.store_documents import StoredDocuments, WorkspaceDocuments
from services.store.database import Database
from tests.contract.hands import SCHEMA, Hands


@pytest.fixture
async def hands(store_url: str) -> AsyncIterator[Hands]:
    async with Database(store_url, SCHEMA) as database:
        yield Hands(database)


@pytest.fixture
async def graphs(store_url: str) -> AsyncIterator[Graphs]:
    async with Graphs(store_url, now=lambda: "2026-01-01T00:00:00.000+00:00") as opened:
        yield opened


@pytest.fixture
def graph(graphs: Graphs) -> Graph:
    return graphs.of("default")


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[StoredDocuments]:
    async with StoredDocuments(store_url) as opened:
        yield opened


@pytest.fixture
def mine(store: StoredDocuments) -> WorkspaceDocuments:
    return store.of("default")
