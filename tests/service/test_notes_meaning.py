"""Notes found by meaning: vectors follow each save by a job, and words alone decide where nobody makes any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.embedding import Embedding
from services.llm.errors import DeadError
from services.llm.registry import model
from services.llm.spaces import Embeddings, EmbedRequest
from services.notes import app as notes_app
from services.settings import Settings
from services.store.blend import CANDIDATES
from services.web.meaning import AT_ONCE
from tests.service.scripted import BEARER, Desk, ScriptedClient, answer, served
from tests.unit.llm import tiny_bert

THEMES = (("fan", "cooling", "heat", "hot"), ("soup", "lunch", "meal"), ("tape", "backup", "restore"))
ANOTHER = "smollm2-135m-embed"


class Themes(ScriptedClient):
    """Vectors of what a text is about, by a list of words: `hot` is near `fan` without sharing a word."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.embedded: list[EmbedRequest] = []

    async def embed(self, request: EmbedRequest) -> Embeddings:
        self.embedded.append(request)
        if self.error is not None:
            raise self.error
        assert request.space is not None
        vectors = tuple(_vector(text.lower(), request.space.dimension) for text in request.texts)
        return Embeddings(vectors=vectors, space=request.space, provenance=answer("").provenance, duration_s=0.0)


def _vector(text: str, dimension: int) -> tuple[float, ...]:
    counts = [float(sum(word in text for word in theme)) for theme in THEMES]
    counts += [0.1] + [0.0] * (dimension - len(THEMES) - 1)
    length = sum(c * c for c in counts) ** 0.5
    return tuple(c / length for c in counts)


def serving(settings: Settings, themes: Themes, alias: str = "minilm") -> AbstractAsyncContextManager[Desk]:
    """Notes that embeds with `alias`."""
    embedding = replace(settings, embedding=Embedding(alias=alias))
    return served(notes_app.build(embedding, client=themes), themes)


@pytest.fixture
def themes() -> Themes:
    return Themes()


@pytest.fixture
async def desk(settings: Settings, themes: Themes) -> AsyncIterator[Desk]:
    async with serving(settings, themes) as desk:
        yield desk


async def add(notes: Desk, title: str, text: str) -> str:
    note = str((await notes.http.post("/v1/notes", json={"title": title, "text": text})).json()["id"])
    return await settled(notes, note)


async def settled(notes: Desk, note: str) -> str:
    while (await notes.http.get(f"/v1/notes/{note}")).json()["jobs"]:
        await asyncio.sleep(0.01)
    return note


async def failed(notes: Desk, job: str) -> dict[str, Any]:
    """The job when it was given up at once."""
    while (told := (await notes.http.get(f"/v1/jobs/{job}")).json())["state"] in ("queued", "running"):
        assert not told["error_code"], "it is tried again, which changes nothing"
        await asyncio.sleep(0.01)
    return dict(told)


async def found(notes: Desk, query: str) -> tuple[list[str], str]:
    body: dict[str, Any] = (await notes.http.get("/v1/search", params={"q": query})).json()
    return [hit["title"] for hit in body["hits"]], body["by"]


class TestMeaning:
    async def test_a_note_is_found_without_sharing_a_word(self, desk: Desk) -> None:
        """The place that is meant is shown, deep in a long note as well."""
        await add(desk, "Lunch", "Soup at noon.")
        await add(desk, "Rack", "Nothing here. " * 64 + "\n\nThe fan of gpu-2 is loud.")
        body = (await desk.http.get("/v1/search", params={"q": "too hot"})).json()

        assert (body["hits"][0]["title"], body["by"]) == ("Rack", "meaning")
        assert "fan of gpu-2" in body["hits"][0]["snippet"]

    async def test_pages_go_on_as_they_began(self, desk: Desk, themes: Themes) -> None:
        """Words rank in another order, and know nothing of a note that was found by meaning."""
        for n in range(3):
            await add(desk, f"n{n}", "The fan is loud. " * (n + 1))
        asked = {"q": "cooling", "limit": "2"}
        first = (await desk.http.get("/v1/search", params=asked)).json()
        themes.error = DeadError("gone", provider="vllm")
        lost = await desk.http.get("/v1/search", params={**asked, "after": first["next"]})
        themes.error = None
        rest = (await desk.http.get("/v1/search", params={**asked, "after": first["next"]})).json()

        assert (lost.status_code, lost.json()["type"]) == (503, "urn:cutover:problem:ranking-lost")
        assert sorted(h["title"] for h in (*first["hits"], *rest["hits"])) == ["n0", "n1", "n2"]

    async def test_a_tag_that_no_note_can_have_finds_nothing(self, desk: Desk) -> None:
        await add(desk, "Fans", "A fan is loud.")
        asked = {"q": "fan", "tag": "!"}
        assert (await desk.http.get("/v1/search", params=asked)).json()["hits"] == []

    async def test_a_saved_note_is_found_by_what_it_means_now(self, desk: Desk) -> None:
        note = await add(desk, "Note", "The fan is loud.")
        await add(desk, "Heat", "All about cooling.")
        await desk.http.put(f"/v1/notes/{note}", json={"title": "Note", "text": "Soup."}, headers={"If-Match": "*"})
        await settled(desk, note)

        assert [(await found(desk, q))[0][0] for q in ("meal", "hot")] == ["Note", "Heat"]

    async def test_related_notes_and_answers_go_by_meaning_as_well(self, desk: Desk) -> None:
        fan = await add(desk, "Fans", "A fan is loud.")
        hot = await add(desk, "Summer", "It is too hot.")
        await add(desk, "Lunch", "Soup.")
        told = (await desk.http.get(f"/v1/notes/{hot}/related")).json()
        desk.llm.answers = [answer("A fan is loud [1].")]
        cited = (await desk.http.post("/v1/ask", json={"question": "cooling?", "k": 1})).json()["citations"]

        assert (told["near"][0]["id"], told["by"]) == (fan, "meaning")
        assert [c["note_id"] for c in cited] == [fan]

    async def test_a_long_note_does_not_stand_in_the_way_of_what_is_related_to_it(self, desk: Desk) -> None:
        """Its own passages are nearer to it than anything else, and more than a search looks at."""
        long = await add(desk, "Fans", ("A fan is loud. " * 50 + "\n\n") * (CANDIDATES + 10))
        other = await add(desk, "Summer", "Too hot.")
        told = (await desk.http.get(f"/v1/notes/{long}/related")).json()

        assert ([near["id"] for near in told["near"]], told["by"]) == ([other], "meaning")

    async def test_a_deleted_and_an_archived_note_are_found_no_more(self, desk: Desk) -> None:
        gone, away = await add(desk, "Gone", "A fan."), await add(desk, "Away", "A fan.")
        await desk.http.delete(f"/v1/notes/{gone}")
        await desk.http.put(f"/v1/notes/{away}/archived", json={"archived": True})

        assert (await found(desk, "hot"))[0] == []

    async def test_a_long_notes_passages_are_embedded_a_lot_at_a_time(self, desk: Desk, themes: Themes) -> None:
        """Each lot has its own deadline, and people's searches come in between; the title is in every passage."""
        await add(desk, "Rack", "\n\n".join(f"Passage {n}. " + "Nothing here. " * 60 for n in range(100)))

        lots = [len(request.texts) for request in themes.embedded]
        assert (sum(lots) >= 100, max(lots)) == (True, AT_ONCE)
        assert all(text.startswith("Rack\n") for request in themes.embedded for text in request.texts)

    async def test_it_is_said_what_search_goes_by(self, desk: Desk, notes: Desk) -> None:
        uses = [(await d.http.get("/readyz")).json()["uses"]["search"] for d in (desk, notes)]

        assert uses == ["words and meaning", "words; set EMBED_MODEL for meaning"]


class TestWithoutVectors:
    async def test_where_nobody_embeds_a_search_goes_by_words(self, desk: Desk, themes: Themes) -> None:
        """A save is kept all the same, and its job waits with the reason."""
        themes.error = DeadError("gone")
        note = (await desk.http.post("/v1/notes", json={"title": "Rack", "text": "The fan."})).json()
        while not (await desk.http.get(f"/v1/jobs/{note['jobs'][0]['id']}")).json()["error_code"]:
            await asyncio.sleep(0.01)

        assert (await found(desk, "fan"), await found(desk, "hot")) == ((["Rack"], "words"), ([], "words"))

    async def test_a_broken_model_file_leaves_the_words(self, settings: Settings, tmp_path: Path) -> None:
        """With the real client, in process: no 500 for what the library raises."""
        entry = model("minilm")
        assert entry.source is not None
        folder = tiny_bert.folder(entry.source.folder(tmp_path, entry.alias))
        (folder / "model.onnx").write_bytes(b"garbage")
        broken = replace(settings, engines_dir=tmp_path, embedding=Embedding(alias="minilm"))
        async with served(notes_app.build(broken), ScriptedClient()) as desk:
            await desk.http.post("/v1/notes", json={"title": "Rack", "text": "The fan."})

            assert await found(desk, "fan") == (["Rack"], "words")

    async def test_another_model_leaves_the_words_until_all_vectors_are_made_anew(
        self, settings: Settings, themes: Themes
    ) -> None:
        """A note that is saved meanwhile says why it has none; the reason names the way."""
        async with serving(settings, themes) as before:
            note = await add(before, "Rack", "The fan.")
        async with serving(settings, themes, ANOTHER) as desk:
            words, related = await found(desk, "fan"), await desk.http.get(f"/v1/notes/{note}/related")
            saved = (await desk.http.post("/v1/notes", json={"title": "Heat", "text": "Cooling."})).json()
            job = await failed(desk, saved["jobs"][0]["id"])
            not_anyones = await desk.http.post("/v1/rerun", json={"where": "vectors"})
            await desk.http.post("/v1/rerun", json={"where": "vectors"}, headers=BEARER)
            for identifier in (note, saved["id"]):
                await settled(desk, identifier)

            assert (words, related.json()["by"], not_anyones.status_code) == ((["Rack"], "words"), "words", 403)
            assert (job["error_code"], "rerun" in job["error_message"]) == ("foreign-space", True)
            assert await found(desk, "hot") == (["Rack", "Heat"], "meaning")


async def test_the_page_of_notes_says_whether_a_search_went_by_meaning(desk: Desk, themes: Themes) -> None:
    """And that only words decided where nobody embeds now."""
    await add(desk, "Fan", "It cools.")
    by_meaning = (await desk.http.get("/ui/?q=hot")).text
    themes.error = DeadError("gone")
    by_words = (await desk.http.get("/ui/?q=cools")).text

    assert "Search by words and meaning" in by_meaning
    assert ("by meaning and words" in by_meaning, ">Fan</a>" in by_meaning) == (True, True)
    assert ("No vector could be compared now" in by_words, ">Fan</a>" in by_words) == (True, True)


async def test_the_page_of_a_note_says_why_it_has_no_vectors(settings: Settings, desk: Desk, themes: Themes) -> None:
    """The store holds vectors of another model; the note is found by words."""
    await add(desk, "Fan", "It cools.")
    async with serving(settings, themes, ANOTHER) as other:
        note = str((await other.http.post("/v1/notes", json={"title": "Soup", "text": "hot"})).json()["id"])
        while (await other.http.get(f"/v1/notes/{note}")).json()["jobs"][0]["state"] != "failed":
            await asyncio.sleep(0.01)
        page = (await other.http.get(f"/ui/notes/{note}")).text

    assert "found by its words only: its vectors could not be made" in page
