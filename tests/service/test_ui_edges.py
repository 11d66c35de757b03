"""Pages where something is in the way: a root path, a rate limit, keys that nobody can read, a body too large."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest

from services.llm.rollout import FILE_NAME, Rollout, Stage, Standing, dump
from services.rag import app as rag_app
from services.settings import Settings
from services.web.body_limit import MAX_BODY_BYTES
from services.web.key_file import change
from services.web.keys import Key, digest
from tests.service.scripted import Desk, ScriptedClient, served
from tests.service.test_root_path import PREFIX, behind

OURS = {"Origin": "http://service"}


async def test_behind_a_root_path_every_link_has_it_and_leads_nowhere_else(desk: Desk) -> None:
    async with behind(desk) as http:
        for path in ("", "engines", "login", "missing"):
            told = (await http.get(f"/ui/{path}")).text
            links = re.findall(r'(?:href|src|action)="([^"]*)"', told)
            assert links and all(link.startswith((f"{PREFIX}/ui", "#")) for link in links), (path, links)
        assert (await http.get("/ui/static/pages.css")).status_code == 200
        assert (await http.get("/")).headers["location"] == f"{PREFIX}/ui/"


async def test_behind_a_root_path_one_signs_in_as_well(rag: Desk, settings: Settings) -> None:
    change(settings.api_keys.file, lambda _: [Key(name="m", digest=digest("k"), workspace="w", created_at="")])
    async with behind(rag) as http:
        refused = await http.get("/ui/documents")
        taken = await http.post("/ui/login", data={"key": "k", "next": "/ui/documents"}, headers=OURS)
        page = await http.get("/ui/documents")
    assert refused.headers["location"] == f"{PREFIX}/ui/login?next=%2Fui%2Fdocuments"
    assert f"Path={PREFIX}/ui" in taken.headers["set-cookie"]
    assert (taken.headers["location"], page.status_code) == (f"{PREFIX}/ui/documents", 200)


async def test_a_keys_rate_limit_holds_for_pages_and_is_told_on_one(settings: Settings, llm: ScriptedClient) -> None:
    slow = Key(name="m", digest=digest("k"), workspace="w", created_at="", requests_per_s=0.001, burst=1)
    change(settings.api_keys.file, lambda _: [slow])
    async with served(rag_app.build(settings, client=llm), llm) as rag:
        await rag.http.post("/ui/login", data={"key": "k"}, headers=OURS)
        first, second = [await rag.http.get("/ui/") for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert "wait and ask again" in second.text and int(second.headers["retry-after"]) > 0


async def test_a_key_of_another_service_is_told_which(settings: Settings, llm: ScriptedClient) -> None:
    theirs = Key(name="m", digest=digest("k"), workspace="w", created_at="", services=("notes",))
    change(settings.api_keys.file, lambda _: [theirs])
    async with served(rag_app.build(settings, client=llm), llm) as rag:
        told = await rag.http.post("/ui/login", data={"key": "k"}, headers=OURS)
    assert told.status_code == 403 and "for notes, not for rag" in told.text and "set-cookie" not in told.headers


async def test_one_signs_out_whatever_the_key_may_do(settings: Settings, llm: ScriptedClient) -> None:
    """With no request left, and with a key that is another service's by now."""
    key = Key(name="m", digest=digest("k"), workspace="w", created_at="", requests_per_s=0.001, burst=1)
    change(settings.api_keys.file, lambda _: [key])
    async with served(rag_app.build(settings, client=llm), llm) as rag:
        for services in ((), ("notes",)):
            await rag.http.post("/ui/login", data={"key": "k"}, headers=OURS)
            change(settings.api_keys.file, lambda _, of=services: [replace(key, services=of)])
            shut = [(await rag.http.get("/ui/")).status_code for _ in range(2)]
            other = await rag.http.post("/ui/logout", headers={"Origin": "http://elsewhere"})
            out = await rag.http.post("/ui/logout", headers=OURS)
            assert (shut[-1], other.status_code, out.status_code) == (403 if services else 429, 403, 303)
            assert 'cutover_session="";' in out.headers["set-cookie"]
            change(settings.api_keys.file, lambda _: [key])


async def test_keys_that_nobody_can_read_close_the_pages(rag: Desk, settings: Settings) -> None:
    settings.api_keys.file.parent.mkdir(parents=True, exist_ok=True)
    settings.api_keys.file.write_text("no keys")
    told = await rag.http.get("/ui/")
    assert told.status_code == 503 and "its log says why" in told.text
    assert told.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/ui/", "/ui/documents/text"])
async def test_a_body_too_large_is_a_page(rag: Desk, path: str) -> None:
    told = await rag.http.post(path, data={"question": "x" * MAX_BODY_BYTES}, headers=OURS)
    assert told.status_code == 413 and "Send a smaller one" in told.text


async def test_a_file_may_be_as_large_as_the_api_takes(rag: Desk) -> None:
    file = {"file": ("a.txt", b"word " * 400_000)}
    told = await rag.http.post("/ui/documents", files=file, data={"title": "", "collection": ""}, headers=OURS)
    assert told.status_code == 303


class TestEngines:
    async def test_every_services_stage_is_the_rollout_files(self, settings: Settings, llm: ScriptedClient) -> None:
        moved = {"rag": Standing(stage=Stage.CANARY, share=0.25), "ner": Standing(stage=Stage.FULL, share=1.0)}
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        (settings.state_dir / FILE_NAME).write_text(dump(Rollout(services=moved)))
        async with served(rag_app.build(settings, client=llm), llm) as rag:
            told = (await rag.http.get("/ui/engines/now")).text
        assert "25 % ask vLLM first" in told and "100 % ask vLLM first" in told and "0 % ask vLLM first" in told
        assert "stage-canary" in told and "stage-full" in told and "stage-ollama" in told

    async def test_a_file_that_cannot_be_read_is_told(self, desk: Desk, settings: Settings) -> None:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        (settings.state_dir / FILE_NAME).write_text("{")
        told = (await desk.http.get("/ui/engines")).text
        assert "The last good state stays in force" in told

    async def test_an_engines_own_words_are_not_for_every_key(
        self, rag: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They may hold addresses, or what another workspace asked; the API keeps them for the operator."""
        failed = {"breaker": "open", "last_error": "vllm: 500 from http://10.0.0.9"}
        monkeypatch.setattr(rag.llm, "status", lambda: {"pin": "auto", "providers": {"vllm": failed}})
        openly = (await rag.http.get("/ui/engines")).text
        change(settings.api_keys.file, lambda _: [Key(name="m", digest=digest("k"), workspace="w", created_at="")])
        await rag.http.post("/ui/login", data={"key": "k"}, headers=OURS)
        told = (await rag.http.get("/ui/engines")).text
        assert "10.0.0.9" in openly
        assert "10.0.0.9" not in told and "breaker open" in told and "cutover status" in told

    async def test_an_engine_that_hangs_does_not_hold_the_page_up(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("services.pages.engines.READY_WITHIN_S", 0.05)
        monkeypatch.setattr(desk.llm, "ready", asyncio.Event().wait)
        told = (await desk.http.get("/ui/engines")).text
        assert "No provider has said in time whether it can generate." in told

    async def test_a_service_without_an_engine_says_so(self, desk: Desk) -> None:
        desk.llm.not_ready = "ollama: nobody listens"
        told = (await desk.http.get("/ui/engines")).text
        assert "No provider of the chain can generate: Ollama: nobody listens." in told
