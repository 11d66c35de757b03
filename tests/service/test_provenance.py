"""The producer of stored rows: what it says, and that rows from before its newer fields are kept."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

from services.llm.types import ChatRequest, Message, Role, Sampling
from services.ner.store import MIGRATIONS, SqliteGraph
from services.web.provenance import params_hash, producer
from tests.service.scripted import Desk, answer

REQUEST = ChatRequest(
    service="notes",
    alias="tiny",
    messages=(Message(role=Role.USER, content="Hello"),),
    sampling=Sampling(max_tokens=8),
    deadline_s=1.0,
)


def test_the_words_and_the_service_do_not_change_the_hash() -> None:
    """Two rows that differ in their text only were made with equal parameters."""
    other = dataclasses.replace(REQUEST, service="ner", messages=(Message(role=Role.USER, content="Bye"),))

    assert params_hash(REQUEST) == params_hash(other)


def test_each_parameter_changes_the_hash() -> None:
    """Sampling, schema and thinking can all change what a model writes."""
    changed = [
        dataclasses.replace(REQUEST, sampling=Sampling(max_tokens=9)),
        dataclasses.replace(REQUEST, sampling=Sampling(max_tokens=8, temperature=0.5)),
        dataclasses.replace(REQUEST, schema={"type": "object"}),
        dataclasses.replace(REQUEST, thinking=True),
    ]

    assert len({params_hash(r) for r in [REQUEST, *changed]}) == 5


def test_who_answered_is_the_producer_not_who_was_asked_first() -> None:
    made = producer(answer("x", provider="ollama"), REQUEST, prompt_version="p-1", at="now")

    assert (made.provider, made.prompt_version, made.params_hash) == ("ollama", "p-1", params_hash(REQUEST))


async def test_a_stored_summary_says_its_parameters(notes: Desk) -> None:
    """The hash of the request that was really sent."""
    note = (await notes.http.post("/v1/notes", json={"title": "a", "text": "b"})).json()
    kept = (await notes.http.post(f"/v1/notes/{note['id']}/summary")).json()["summary"]

    assert kept["producer"]["params_hash"] == params_hash(notes.llm.requests[0])


async def test_rows_from_before_the_hash_are_kept_without_one(tmp_path: Path) -> None:
    """A file of the first version is migrated in place."""
    file = tmp_path / "ner.db"
    with sqlite3.connect(file) as old:
        for statement in MIGRATIONS[0]:
            old.execute(statement)
        old.execute("INSERT INTO document VALUES (1, 'd', 'Tessel.', 'then', 'vllm', 'vllm', 'tiny', '1', 'then')")
        old.execute("PRAGMA user_version=1")
    old.close()

    async with SqliteGraph(file) as graph:
        found = await graph.document("d")

    assert found is not None
    assert (found[0].text, found[0].producer.model, found[0].producer.params_hash) == ("Tessel.", "tiny", "")
