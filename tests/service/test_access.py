"""API keys in front of each service: who is let in, where to, how fast, and what stays open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.notes import app as notes_app
from services.settings import Settings, load
from services.web.key_file import change
from services.web.keys import Key, digest
from tests.service.scripted import BEARER, TOKEN, Desk, ScriptedClient, answer, served

ASKED = {
    "rag": ("/v1/search", {"query": "fan"}),
    "notes": ("/v1/summarize", {"text": "Ivo swaps the fan."}),
    "ner": ("/v1/extract", {"text": "Ivo works for Tessel."}),
}
OPEN = ("/healthz", "/readyz", "/metrics", "/openapi.json")


def let_in(settings: Settings, secret: str = "s", **more: Any) -> dict[str, str]:
    """A key more in the file that the service reads, and the header of its holder."""
    made = {"name": f"k-{secret}", "workspace": "default", "created_at": "now", "digest": digest(secret), **more}
    change(settings.api_keys.file, lambda before: [*before, Key(**made)])
    return {"Authorization": f"Bearer {secret}"}


async def ask(desk: Desk, headers: dict[str, str] | None = None) -> Any:
    desk.llm.answers = [answer('{"entities": [], "relations": []}')]
    path, body = ASKED[desk.app.state.room.service]
    return await desk.http.post(path, json=body, headers=headers)


async def test_without_keys_everybody_may_ask(desk: Desk) -> None:
    """A first run needs none."""
    assert (await ask(desk)).status_code == 200
    assert (await ask(desk, {"Authorization": "Bearer whatever"})).status_code == 200


async def test_a_key_closes_the_door_for_those_without_one(desk: Desk, settings: Settings) -> None:
    """From the moment when the file is there, without a restart; with the key it opens."""
    header = let_in(settings)

    assert (await ask(desk, header)).status_code == 200
    refused = await ask(desk)
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:cutover:problem:key-missing")
    assert refused.headers["www-authenticate"] == 'Bearer realm="cutover"'
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["x-request-id"] == refused.json()["request_id"]


@pytest.mark.parametrize(
    "given", ["Bearer other", "Bearer ", "Basic s", "s", "Bearer s s", "Bearer S", "Bearer " + "s" * 600, "bearer"]
)
async def test_a_wrong_key_is_refused(desk: Desk, settings: Settings, given: str) -> None:
    """No request with it reaches a use case."""
    let_in(settings)
    refused = await ask(desk, {"Authorization": given})

    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert desk.llm.requests == []


async def test_a_key_that_is_not_text_is_refused(notes: Desk, settings: Settings) -> None:
    """Bytes that no key has are a wrong key, not an error of ours."""
    let_in(settings)
    headers: Any = {b"Authorization": b"Bearer \xff\xfe"}

    assert (await ask(notes, headers)).status_code == 401


async def test_a_revoked_key_is_refused_at_once(desk: Desk, settings: Settings) -> None:
    header = let_in(settings)
    assert (await ask(desk, header)).status_code == 200
    change(settings.api_keys.file, lambda _: [])

    assert (await ask(desk, header)).status_code == 401


async def test_a_key_of_another_service_is_403(desk: Desk, settings: Settings) -> None:
    """The door is named, so that nobody makes a second key for nothing."""
    others = tuple(s for s in ASKED if s != desk.app.state.room.service)
    refused = await ask(desk, let_in(settings, services=others))

    assert (refused.status_code, refused.json()["type"]) == (403, "urn:cutover:problem:key-of-another-service")
    assert (await ask(desk, let_in(settings, "mine", services=(desk.app.state.room.service,)))).status_code == 200


async def test_what_a_supervisor_asks_stays_open(desk: Desk, settings: Settings) -> None:
    """A load balancer and Prometheus have no key."""
    let_in(settings)

    assert [(await desk.http.get(path)).status_code for path in OPEN] == [200] * len(OPEN)


async def test_an_unknown_path_under_v1_tells_nothing_without_a_key(desk: Desk, settings: Settings) -> None:
    """Which paths there are is for those who may ask."""
    header = let_in(settings)

    assert (await desk.http.get("/v1/nowhere")).status_code == 401
    assert (await desk.http.get("/v1/nowhere", headers=header)).status_code == 404


@pytest.mark.parametrize("prefix", ["/x", "/v1", "/"])
async def test_a_root_path_opens_no_door(desk: Desk, settings: Settings, prefix: str) -> None:
    """The server puts it in front of each path and the router takes it off: what answers is what needs the key."""
    header = let_in(settings)
    path, body = ASKED[desk.app.state.room.service]
    desk.llm.answers = [answer('{"entities": [], "relations": []}')]
    transport = httpx2.ASGITransport(desk.app, root_path=prefix)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as http:
        refused, let = [await http.post(prefix.rstrip("/") + path, json=body, headers=h) for h in ({}, header)]

    assert (refused.status_code, let.status_code) == (401, 200)


async def test_a_file_that_cannot_be_used_opens_no_door(desk: Desk, settings: Settings) -> None:
    """503 for everybody, the right key included, and nothing of the reason for callers."""
    header = let_in(settings)
    settings.api_keys.file.write_text("{half")
    refused = await ask(desk, header)

    assert (refused.status_code, refused.json()["type"]) == (503, "urn:cutover:problem:keys-unusable")
    assert str(settings.api_keys.file) not in refused.text
    assert (await desk.http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("text", ["", "{half"])
async def test_a_file_that_was_there_at_the_start_and_is_gone_opens_no_door(settings: Settings, text: str) -> None:
    """For a worker that nobody had asked yet as well. A file that cannot be used does not stop the start."""
    let_in(settings)
    if text:
        settings.api_keys.file.write_text(text)
    llm = ScriptedClient()
    async with served(notes_app.build(settings, client=llm), llm) as desk:
        settings.api_keys.file.unlink()

        assert (await ask(desk)).status_code == 503


async def test_a_folder_in_place_of_the_file_opens_no_door(notes: Desk, settings: Settings) -> None:
    settings.api_keys.file.mkdir(parents=True)

    assert (await ask(notes)).status_code == 503


async def test_the_measuring_arm_needs_the_key_and_the_token(notes: Desk, settings: Settings) -> None:
    """The token has a header of its own, because the key has the other."""
    header, first = let_in(settings), {"X-LLM-First": "vllm"}

    assert (await ask(notes, {**first, **BEARER})).status_code == 401
    assert (await ask(notes, {**first, **header})).status_code == 403
    assert (await ask(notes, {**first, **header, "X-Admin-Token": "wrong"})).status_code == 403
    assert (await ask(notes, {**first, **header, "X-Admin-Token": TOKEN})).status_code == 200
    assert notes.llm.requests[0].first == "vllm"


async def test_operators_need_no_key(desk: Desk, settings: Settings) -> None:
    """/api/admin has its own token, in either header."""
    let_in(settings)
    answers = [await desk.http.get("/api/admin/status", headers=h) for h in (BEARER, {"X-Admin-Token": TOKEN}, {})]

    assert [a.status_code for a in answers] == [200, 200, 401]


async def test_our_own_programs_send_what_opens_both(notes: Desk, settings: Settings, tmp_path: Path) -> None:
    """`settings.api_keys.headers` is what gate, doctor, record and sample send."""
    let_in(settings)
    ours = load({"CUTOVER_HOME": str(tmp_path), "CUTOVER_API_KEY": "s"}).api_keys

    assert (await ask(notes, ours.headers())).status_code == 200
    assert (await ask(notes, {**ours.headers(TOKEN), "X-LLM-First": "ollama"})).status_code == 200
    assert "'s'" not in repr(ours)


async def test_who_asks_too_fast_is_told_when_to_come_back(desk: Desk, settings: Settings) -> None:
    """429 with the draft's headers; another key is not held up."""
    header, other = let_in(settings, requests_per_s=0.001, burst=2), let_in(settings, "o")
    answers = [await ask(desk, header) for _ in range(3)]

    assert [a.status_code for a in answers] == [200, 200, 429]
    assert [a.headers["ratelimit"].split(";")[1] for a in answers] == ["r=1", "r=0", "r=0"]
    assert answers[2].json()["type"] == "urn:cutover:problem:too-many-requests"
    assert 900 < int(answers[2].headers["retry-after"]) <= 1000
    unlimited = await ask(desk, other)
    assert (unlimited.status_code, "ratelimit" in unlimited.headers) == (200, False)


async def test_a_refused_caller_uses_up_nobodys_limit(notes: Desk, settings: Settings) -> None:
    """Guessing keys does not lock their holders out."""
    header = let_in(settings, requests_per_s=0.001, burst=1)
    for _ in range(5):
        await ask(notes, {"Authorization": "Bearer guess"})

    assert (await ask(notes, header)).status_code == 200


async def test_the_documentation_says_that_a_key_is_needed(desk: Desk) -> None:
    """Of every route under /v1; operators' routes have their own token; the others are open."""
    paths = (await desk.http.get("/openapi.json")).json()["paths"]
    guarded = {path: "HTTPBearer" in str(op.get("security")) for path, ops in paths.items() for op in ops.values()}

    assert guarded
    assert {path: said for path, said in guarded.items() if said != path.startswith(("/v1/", "/api/"))} == {}
