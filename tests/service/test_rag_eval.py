"""Search measured on one's own questions: ranks by hand, intervals, and gold places that are none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.service.scripted import Desk

RULES = (
    "Visitors sign in at the desk.\n\n" + "Nothing else of note happens there. " * 30 + "\n\nThe alarm code is 4711."
)
TEXTS = {"Backups": "The nightly backup starts at 02:40.", "Rules": RULES}


@pytest.fixture
async def ids(rag: Desk) -> dict[str, str]:
    """The documents by title."""
    made = {}
    for title, text in TEXTS.items():
        made[title] = str((await rag.http.post("/v1/documents", json={"title": title, "text": text})).json()["id"])
    return made


async def evaluated(rag: Desk, *questions: dict[str, Any], **more: Any) -> dict[str, Any]:
    response = await rag.http.post("/v1/eval", json={"questions": list(questions), **more})
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_the_figures_are_those_of_the_ranks(rag: Desk, ids: dict[str, str]) -> None:
    """One found first, one not at all; no model is asked, and what embeds nothing is said."""
    found = {"question": "When does the nightly backup start?", "document_id": ids["Backups"]}
    lost = {"question": "When does the nightly backup start? ", "document_id": ids["Rules"]}
    body = await evaluated(rag, found, lost)

    assert [one["rank"] for one in body["placed"]] == [1, None]
    assert [body[name]["value"] for name in ("ndcg10", "recall20", "reciprocal_rank")] == [0.5, 0.5, 0.5]
    assert body["ndcg10"]["low"] <= 0.5 <= body["ndcg10"]["high"]
    assert {one["mode"] for one in body["placed"]} == {"lexical"}
    assert all("EMBED_MODEL" in one["reason"] for one in body["placed"])
    assert rag.llm.requests == []


async def test_only_a_passage_that_holds_the_place_counts(rag: Desk, ids: dict[str, str]) -> None:
    """The document's first passage has the words of the question, its last one the answer."""
    question = "the desk alarm: sign in at the desk"
    anywhere = {"question": question, "document_id": ids["Rules"]}
    at = RULES.index("The alarm")
    there = {**anywhere, "start": at, "end": at + 9}
    body = await evaluated(rag, anywhere, there)
    first, second = (one["rank"] for one in body["placed"])

    assert first == 1
    assert second is not None
    assert second > 1
    assert body["ndcg10"]["value"] == pytest.approx((1 + 1 / math.log2(1 + second)) / 2)


async def test_a_place_that_is_none_is_named(rag: Desk, ids: dict[str, str]) -> None:
    """All of them at once, the first few by name."""
    outside = {"question": "x", "document_id": ids["Backups"], "start": 0, "end": 9999}
    gone = [{"question": f"q{n}", "document_id": "nowhere"} for n in range(9)]
    response = await rag.http.post("/v1/eval", json={"questions": [outside, *gone]})

    assert (response.status_code, response.json()["type"]) == (422, "urn:cutover:problem:gold-unknown")
    assert "35 characters, not 9999" in response.json()["detail"]
    assert "and 5 more" in response.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"questions": []},
        {"questions": [{"question": "x", "document_id": "d", "start": 1}]},
        {"questions": [{"question": "x", "document_id": "d", "start": 2, "end": 2}]},
        {"questions": [{"question": "x", "document_id": "d"}] * 201},
        {"questions": [{"question": "x"}]},
    ],
)
async def test_nonsense_is_422(rag: Desk, body: dict[str, Any]) -> None:
    assert (await rag.http.post("/v1/eval", json=body)).status_code == 422


async def test_a_collection_that_is_not_there_is_404(rag: Desk, ids: dict[str, str]) -> None:
    body = {"questions": [{"question": "x", "document_id": ids["Rules"]}], "collection": "nowhere"}
    assert (await rag.http.post("/v1/eval", json=body)).status_code == 404
