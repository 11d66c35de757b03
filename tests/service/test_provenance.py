"""The producer of stored rows: who made them, and with which parameters."""

from __future__ import annotations

import dataclasses

from services.llm.types import ChatRequest, Message, Role, Sampling
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


async def test_every_stored_row_says_which_weights(notes: Desk, ner: Desk) -> None:
    """Summaries, suggestions, readings, and each answer: what the engine told of the weights behind the name."""
    notes.llm.answers = [answer("hardware", digest="8b7a"), answer('{"new": ["gpu"]}', digest="8b7b")]
    note = (await notes.http.post("/v1/notes", json={"title": "a", "text": "gpu"})).json()
    await notes.http.post(f"/v1/notes/{note['id']}/summary")
    kept = (await notes.http.post(f"/v1/notes/{note['id']}/tags:suggest")).json()

    assert (kept["summary"]["producer"]["digest"], kept["tags"][0]["producer"]["digest"]) == ("8b7a", "8b7b")
    assert kept["llm"]["digest"] == "8b7b"
    ner.llm.answers = [answer('{"entities": [{"text": "Mara", "type": "person"}]}', digest="root:org/name")]
    await ner.http.post("/v1/documents", json={"text": "Mara"})

    assert (await ner.http.get("/v1/entities/1")).json()["mentions"][0]["producer"]["digest"] == "root:org/name"
