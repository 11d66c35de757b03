"""Notes suggests tags: known ones in the caller's spelling, few new ones, and no prose, whatever a model says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.llm.errors import DeadError
from services.llm.schemas import misfit, problem
from services.llm.types import Answer, Role
from services.notes import app as notes_app
from services.notes import prompts
from services.notes.tags import Tag, distinct, key, suggested
from services.settings import load
from tests.fakes.engine import FakeEngine, Fault, serving
from tests.service.scripted import BEARER, Desk, Hang, ScriptedClient, answer, leaving, served

KNOWN = ("hardware", "Cold Store", "café")
ASK = {"text": "Ivo swaps the fan of gpu-2 on Thursday.", "vocabulary": ["hardware", "meeting"]}


def said(tags: list[str], new: list[str], provider: str = "vllm") -> Answer:
    return answer(json.dumps({"tags": tags, "new": new}), provider=provider)


def made(tags: list[str], new: list[str]) -> list[tuple[str, bool]]:
    return [(t.tag, t.new) for t in suggested(said(tags, new).text, KNOWN)]


class TestWhatIsMadeOfAnAnswer:
    def test_known_tags_keep_the_callers_spelling(self) -> None:
        assert made(["Cold Store", "café"], []) == [("Cold Store", False), ("café", False)]

    @pytest.mark.parametrize("again", ["Cold Store", "cold-store", "#COLD  STORE", "ｃold store"])
    def test_a_tag_comes_once_in_whatever_spelling(self, again: str) -> None:
        """Small models repeat themselves; a known tag among the new ones is still the known one."""
        assert made(["Cold Store", "Cold Store"], [again]) == [("Cold Store", False)]
        assert made([], [again]) == [("Cold Store", False)]

    def test_new_tags_are_brought_to_one_form(self) -> None:
        assert made([], ["#GPU-Fan", "gpu fan"]) == [("gpu fan", True)]

    def test_no_more_than_two_are_new_wherever_they_stand(self) -> None:
        """An engine that ignores the schema puts unknown tags among the known ones."""
        found = made(["fan", "hardware", "gpu"], ["rack", "thursday"])
        assert found == [("fan", True), ("hardware", False), ("gpu", True)]

    @pytest.mark.parametrize("prose", ["the fan of gpu-2", "", " ", "#!", "f" * (prompts.MAX_TAG_CHARS + 1)])
    def test_a_sentence_and_a_mere_sign_are_no_tags(self, prose: str) -> None:
        """And take no place from a real one."""
        assert made([], [prose, "fan", "rack"]) == [("fan", True), ("rack", True)]

    def test_without_a_vocabulary_all_are_new(self) -> None:
        assert suggested('{"new": ["fan"]}', ()) == (Tag(tag="fan", new=True),)

    def test_a_vocabulary_with_two_spellings_of_a_tag_has_it_once(self) -> None:
        assert distinct(["GPU", " Fan ", "gpu", "fan"]) == ("GPU", "Fan")
        assert key("Café-Bar") == "café bar"


class TestSchema:
    @pytest.mark.parametrize("vocabulary", [(), ("hardware",), KNOWN, ('a "quoted" one', "back\\slash")])
    def test_it_is_sound_and_the_worked_example_has_its_form(self, vocabulary: tuple[str, ...]) -> None:
        """The example's own tags are not known here, so only its form is compared."""
        schema = prompts.tags_schema(vocabulary)
        example = json.loads(prompts.tags_messages("A note.", vocabulary)[2].content)
        assert problem(schema) is None
        assert list(example) == list(schema["properties"])
        assert misfit(schema, {**example, **({"tags": list(vocabulary)} if vocabulary else {})}) is None

    @pytest.mark.parametrize(
        "document",
        [
            {"tags": ["meeting"], "new": []},
            {"tags": ["hardware"] * 4, "new": []},
            {"tags": [], "new": ["a", "b", "c"]},
            {"tags": [], "new": [""]},
            {"tags": []},
            {"tags": [], "new": [], "why": "because"},
            ["hardware"],
        ],
    )
    def test_what_breaks_the_promise_does_not_fit(self, document: object) -> None:
        assert misfit(prompts.tags_schema(KNOWN), document) is not None


class TestEndpoint:
    async def test_tags_come_with_whether_they_are_new_and_who_chose_them(self, notes: Desk) -> None:
        notes.llm.answers = [said(["hardware"], ["Fan"])]
        response = await notes.http.post("/v1/tags", json=ASK)

        body = response.json()
        assert body["tags"] == [{"tag": "hardware", "new": False}, {"tag": "fan", "new": True}]
        assert body["llm"]["provider"] == response.headers["x-llm-provider"] == "vllm"
        assert (await notes.http.get("/v1/notes")).json()["notes"] == []

    async def test_the_model_is_held_to_the_vocabulary(self, notes: Desk) -> None:
        """By schema; the known tags stand in the rule, before the note, which is whole and last."""
        notes.llm.answers = [said([], [])]
        await notes.http.post("/v1/tags", json={**ASK, "max_tokens": 50})

        [request] = notes.llm.requests
        assert request.schema == prompts.tags_schema(("hardware", "meeting"))
        assert [m.role for m in request.messages] == [Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.USER]
        assert "hardware, meeting" in request.messages[0].content
        assert (request.messages[-1].content, request.sampling.max_tokens) == (ASK["text"], 50)

    async def test_without_a_vocabulary_only_new_ones_are_asked_for(self, notes: Desk) -> None:
        notes.llm.answers = [answer('{"new": ["fan", "gpu"]}')]
        response = await notes.http.post("/v1/tags", json={"text": "Ivo swaps the fan."})

        assert [t["new"] for t in response.json()["tags"]] == [True, True]
        assert notes.llm.requests[0].schema == prompts.tags_schema(())

    @pytest.mark.parametrize(
        "body",
        [
            {"text": " "},
            {"vocabulary": ["a"]},
            {"text": "x", "vocabulary": "a"},
            {"text": "x", "vocabulary": [3]},
            {"text": "x", "vocabulary": [""]},
            {"text": "x", "vocabulary": ["#!"]},
            {"text": "x", "vocabulary": ["a" * 31]},
            {"text": "x", "vocabulary": ["a"] * 201},
            {"text": "x", "max_tokens": 0},
            {"text": "x", "tags": []},
        ],
    )
    async def test_nonsense_never_reaches_a_model(self, notes: Desk, body: dict[str, object]) -> None:
        response = await notes.http.post("/v1/tags", json=body)

        assert (response.status_code, notes.llm.requests) == (422, [])
        assert response.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("arm", ["ollama", "vllm"])
    async def test_it_is_routed_as_a_summary_is(self, notes: Desk, arm: str) -> None:
        """The measuring arm and the sticky key reach the client; an arm without the token is refused."""
        notes.llm.answers = [said([], [])]
        first = {"X-LLM-First": arm}
        refused = await notes.http.post("/v1/tags", json=ASK, headers=first)
        await notes.http.post("/v1/tags", json=ASK, headers={**first, **BEARER, "X-Sticky-Key": "user-7"})

        [request] = notes.llm.requests
        assert (refused.status_code, request.first, request.key) == (403, arm, "user-7")

    async def test_no_engine_is_a_problem_document(self, notes: Desk) -> None:
        notes.llm.answers = [DeadError("gone")]
        response = await notes.http.post("/v1/tags", json=ASK)

        assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")

    async def test_a_caller_who_leaves_stops_the_engine(self, notes: Desk) -> None:
        notes.llm.answers = [Hang()]
        await leaving(notes.app, "/v1/tags", ASK, when=notes.llm.hanging)

        assert notes.llm.left_early.is_set()


GOOD = '{"tags": ["meeting"], "new": []}'


async def asked(home: Path, vllm: FakeEngine, ollama: FakeEngine) -> tuple[int, dict[str, Any]]:
    """What Notes answers over its own client, vLLM first."""
    async with serving(vllm.app()) as vllm_url, serving(ollama.app()) as ollama_url:
        urls = {"VLLM_URL": vllm_url, "OLLAMA_URL": ollama_url, "LLM_PROVIDER": "vllm"}
        app = notes_app.build(load({"CUTOVER_HOME": str(home), **urls}))
        async with served(app, ScriptedClient()) as desk:
            response = await desk.http.post("/v1/tags", json=ASK)
    return response.status_code, response.json()


class TestEnginesThatAnswerNonsense:
    @pytest.mark.parametrize(
        "said",
        [
            "Sure! The tags are hardware and meeting.",
            '{"tags": ["kitchen"], "new": []}',
            '{"tags": ["meeting", "meeting", "meeting", "meeting"], "new": []}',
            '{"tags": [], "new": ["a", "b", "c"]}',
            '{"new": []}',
            "[]",
        ],
    )
    async def test_the_other_engine_is_asked(self, tmp_path: Path, said: str) -> None:
        """Prose, unknown tags, too many: an engine that ignores the schema is nobody's answer."""
        status, body = await asked(tmp_path, FakeEngine(words=(said,)), FakeEngine(words=(GOOD,)))

        assert (status, body["tags"]) == (200, [{"tag": "meeting", "new": False}])
        assert (body["llm"]["provider"], body["llm"]["fallback_reason"]) == ("ollama", "bad_response")

    async def test_where_both_do_it_is_a_problem_and_no_tags(self, tmp_path: Path) -> None:
        status, body = await asked(tmp_path, FakeEngine(words=("{",)), FakeEngine(default=Fault.LENGTH, words=(GOOD,)))

        assert (status, "tags" in body) == (502, False)
        assert body["type"].startswith("urn:cutover:problem:")

    async def test_doubled_tags_that_fit_the_schema_come_once(self, tmp_path: Path) -> None:
        said = '{"tags": ["meeting", "meeting"], "new": ["Meeting", "FAN"]}'
        status, body = await asked(tmp_path, FakeEngine(words=(said,)), FakeEngine())

        assert (status, body["llm"]["provider"]) == (200, "vllm")
        assert body["tags"] == [{"tag": "meeting", "new": False}, {"tag": "fan", "new": True}]
