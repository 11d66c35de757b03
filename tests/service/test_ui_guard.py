"""What protects the pages of every service: keys, origin, headers, escaping, and errors that people can read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from services.pages.guard import HEADERS
from services.rag import app as rag_app
from services.settings import Settings
from services.web.key_file import change
from services.web.keys import Key, digest
from services.web.sessions import COOKIE, LASTS_S, opened, sealed
from tests.service.scripted import Desk, ScriptedClient, answer, served

SECRET = "cutover_of-mara"
KEY = Key(name="mara", digest=digest(SECRET), workspace="rack", created_at="2026-01-01T00:00:00Z")
OURS = {"Origin": "http://service"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"


@pytest.fixture
async def locked(settings: Settings, llm: ScriptedClient) -> AsyncIterator[Desk]:
    """RAG where keys are set up: one, for everything."""
    change(settings.api_keys.file, lambda _: [KEY])
    async with served(rag_app.build(settings, client=llm), llm) as desk:
        yield desk


class TestKeys:
    async def test_without_keys_the_pages_are_as_open_as_the_api(self, desk: Desk) -> None:
        for path in ("/ui/", "/ui/engines"):
            assert (await desk.http.get(path)).status_code == 200
        login = await desk.http.get("/ui/login")
        assert "asks for no key" in login.text

    async def test_who_is_not_signed_in_is_taken_there_and_back(self, locked: Desk) -> None:
        """303 to the form, which remembers the page; the key opens it, and is in no cookie."""
        refused = await locked.http.get("/ui/documents?collection=c")
        form = await locked.http.get(refused.headers["location"])
        sent = {"key": SECRET, "next": "/ui/documents?collection=c"}
        taken = await locked.http.post("/ui/login", data=sent, headers=OURS)

        assert (refused.status_code, taken.status_code) == (303, 303)
        assert refused.headers["location"] == "/ui/login?next=%2Fui%2Fdocuments%3Fcollection%3Dc"
        assert 'value="/ui/documents?collection=c"' in form.text
        cookie = taken.headers["set-cookie"]
        assert taken.headers["location"] == "/ui/documents?collection=c"
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/ui" in cookie and "Secure" not in cookie
        assert SECRET not in cookie and KEY.digest not in cookie
        front = await locked.http.get("/ui/")
        assert front.status_code == 200 and "key mara" in front.text

    async def test_by_https_the_cookie_goes_by_https_only(self, locked: Desk) -> None:
        sent = {"key": SECRET, "next": "/ui/"}
        headers = {"Origin": "https://service"}
        taken = await locked.http.post("https://service/ui/login", data=sent, headers=headers)
        assert "Secure" in taken.headers["set-cookie"]

    async def test_a_wrong_key_is_told_and_opens_nothing(self, locked: Desk) -> None:
        refused = await locked.http.post("/ui/login", data={"key": "cutover_wrong"}, headers=OURS)
        assert refused.status_code == 401 and "not known" in refused.text
        assert "set-cookie" not in refused.headers and "cutover_wrong" not in refused.text

    async def test_the_cookie_opens_no_api_and_the_header_no_page(self, locked: Desk) -> None:
        """A page of another origin could send the cookie along; /v1 never looks at it."""
        await locked.http.post("/ui/login", data={"key": SECRET}, headers=OURS)
        assert (await locked.http.get("/v1/documents")).status_code == 401
        locked.http.cookies.clear()
        page = await locked.http.get("/ui/", headers={"Authorization": f"Bearer {SECRET}"})
        assert page.status_code == 303

    async def test_a_session_ends_with_sign_out_and_with_its_key(self, locked: Desk, settings: Settings) -> None:
        await locked.http.post("/ui/login", data={"key": SECRET}, headers=OURS)
        await locked.http.post("/ui/logout", headers=OURS)
        assert (await locked.http.get("/ui/")).status_code == 303
        await locked.http.post("/ui/login", data={"key": SECRET}, headers=OURS)
        assert (await locked.http.get("/ui/")).status_code == 200
        change(settings.api_keys.file, lambda _: [])
        assert (await locked.http.get("/ui/")).status_code == 303

    async def test_documents_of_a_page_are_of_the_keys_workspace(self, locked: Desk) -> None:
        await locked.http.post("/ui/login", data={"key": SECRET}, headers=OURS)
        text = {"title": "Rack manual", "text": "The backup starts at 02:40."}
        await locked.http.post("/ui/documents/text", data=text, headers=OURS)
        listed = await locked.http.get("/v1/documents", headers={"Authorization": f"Bearer {SECRET}"})
        assert [d["title"] for d in listed.json()["documents"]] == ["Rack manual"]

    @pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "/ui/\\evil", "/v1/documents", ""])
    async def test_a_sign_in_sends_nobody_elsewhere(self, locked: Desk, wanted: str) -> None:
        taken = await locked.http.post("/ui/login", data={"key": SECRET, "next": wanted}, headers=OURS)
        assert taken.headers["location"] == "/ui/"

    async def test_a_piece_of_a_page_sends_the_whole_page_to_the_form(self, locked: Desk) -> None:
        """htmx would put the form where the piece was."""
        told = await locked.http.get("/ui/jobs", headers={"HX-Request": "true"})
        assert (told.status_code, told.headers["hx-redirect"]) == (204, "/ui/login?next=%2Fui%2F")


class TestSessions:
    @pytest.mark.parametrize("change_it", [lambda v: v.replace(".mara", ".eve"), lambda v: "9" + v, lambda v: v[:-6]])
    def test_only_what_was_sealed_opens(self, change_it: object) -> None:
        value = sealed(KEY, now=1000.0)
        eve = Key(name="eve", digest=digest("other"), workspace="w", created_at="")
        assert opened([KEY, eve], value, now=1001.0) == KEY
        assert callable(change_it)
        assert opened([KEY, eve], change_it(value), now=1001.0) is None

    def test_it_ends_with_its_time_and_with_another_key_of_that_name(self) -> None:
        value = sealed(KEY, now=1000.0)
        again = Key(name="mara", digest=digest("renewed"), workspace="rack", created_at="")
        assert opened([KEY], value, now=1000.0 + LASTS_S) is None
        assert opened([again], value, now=1001.0) is None


class TestOrigin:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://service:8502"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://service"},
        ],
    )
    async def test_a_form_from_elsewhere_changes_nothing(self, rag: Desk, headers: dict[str, str]) -> None:
        """Another port of this host as well: it is the same site, and gets the cookie along."""
        text = {"title": "Planted", "text": "By somebody else."}
        refused = await rag.http.post("/ui/documents/text", data=text, headers=headers)

        assert refused.status_code == 403 and "did not come from a page of this service" in refused.text
        assert (await rag.http.get("/v1/documents")).json()["documents"] == []


class TestAnswers:
    async def test_every_page_and_error_carries_the_headers(self, desk: Desk) -> None:
        for path in ("/ui/", "/ui/engines", "/ui/nothing-here", "/ui/static/pages.css"):
            told = await desk.http.get(path)
            assert {name: told.headers.get(name) for name in HEADERS} == HEADERS, path
        assert "Content-Security-Policy" not in (await desk.http.get("/healthz")).headers

    async def test_pages_are_kept_in_no_cache(self, rag: Desk) -> None:
        assert (await rag.http.get("/ui/")).headers["cache-control"] == "no-store"

    async def test_an_error_is_a_page_with_its_id_and_the_next_step(self, desk: Desk) -> None:
        told = await desk.http.get("/ui/nothing-here", headers={"X-Request-Id": "req-of-mine"})
        assert told.status_code == 404
        assert told.headers["content-type"].startswith("text/html")
        assert "req-of-mine" in told.text and "Look for it in the list" in told.text

    async def test_an_unforeseen_error_says_nothing_of_its_inside(self, rag: Desk) -> None:
        rag.llm.answers = [ValueError("the inside")]
        await rag.http.post("/v1/documents", json={"title": "T", "text": "Backups start at 02:40."})
        told = await rag.http.post("/ui/", data={"question": "When do backups start?"}, headers=OURS)
        assert told.status_code == 500 and "the inside" not in told.text
        assert told.headers["x-request-id"] in told.text and told.headers["x-frame-options"] == "DENY"

    async def test_the_api_still_answers_problem_documents(self, desk: Desk) -> None:
        told = await desk.http.get("/v1/nothing-here")
        assert told.headers["content-type"] == "application/problem+json"

    async def test_no_page_is_in_the_openapi_document(self, desk: Desk) -> None:
        paths = (await desk.http.get("/openapi.json")).json()["paths"]
        assert not [path for path in paths if path.startswith("/ui") or path == "/"]

    async def test_the_front_door_leads_to_the_pages(self, desk: Desk) -> None:
        for path in ("/", "/ui"):
            assert (await desk.http.get(path)).headers["location"] == "/ui/"


async def test_the_menu_links_the_others_on_their_ports(rag: Desk) -> None:
    told = (await rag.http.get("http://rack.example:8501/ui/")).text
    assert 'href="http://rack.example:8502/ui/"' in told and 'href="http://rack.example:8503/ui/"' in told


async def test_what_documents_and_models_say_is_text_never_markup(rag: Desk) -> None:
    """Title, text, collection, question and answer."""
    made = await rag.http.post("/v1/collections", json={"name": HOSTILE})
    document = {"title": HOSTILE, "text": f"Backups start at 02:40 {HOSTILE}.", "collection": made.json()["id"]}
    stored = (await rag.http.post("/v1/documents", json=document)).json()
    rag.llm.answers = [answer(f"Backups start at 02:40 {HOSTILE} [1].")]
    asked = await rag.http.post("/ui/", data={"question": f"When? {HOSTILE}"}, headers=OURS)
    for told in (asked, await rag.http.get("/ui/documents"), await rag.http.get(f"/ui/documents/{stored['id']}")):
        assert told.status_code == 200
        assert "alert(1)" in told.text and "<script>alert" not in told.text and "<img" not in told.text


def test_the_cookie_has_one_name_for_all_services() -> None:
    """They share a host, so one sign-in is for all that the key opens."""
    assert COOKIE == "cutover_session" and time.time() < int(sealed(KEY, now=time.time()).partition(".")[0])
