"""What every service answers alike: ids, tokens, arms, deadlines, health. Asked of one or of all three."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from services.llm.types import Priority
from services.notes import app as notes_app
from services.settings import load
from tests.service.scripted import BEARER, Desk, ScriptedClient, served

SUMMARISE = {"text": "Ivo swaps the fan."}


class TestRequestId:
    async def test_a_sane_id_is_kept(self, notes: Desk) -> None:
        """The caller's own id goes through to the client and back."""
        response = await notes.http.post("/v1/summarize", json=SUMMARISE, headers={"X-Request-Id": "abc-1.2"})

        assert response.headers["x-request-id"] == notes.llm.requests[0].request_id == "abc-1.2"

    @pytest.mark.parametrize("offered", ["", "a b", "x" * 65, "caf\u00e9", '"><script>'])
    async def test_a_strange_id_is_replaced(self, notes: Desk, offered: str) -> None:
        """An id that could not stand in a log or a header is not echoed."""
        response = await notes.http.get("/healthz", headers={b"X-Request-Id": offered.encode("latin-1")})

        made = response.headers["x-request-id"]
        assert made != offered
        assert len(made) == 32

    @pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/openapi.json", "/v1/notes/none"])
    async def test_every_answer_has_an_id(self, notes: Desk, path: str) -> None:
        """Good and bad answers alike can be found in the log."""
        assert (await notes.http.get(path)).headers["x-request-id"]


class TestMeasuringArm:
    @pytest.mark.parametrize("arm", ["ollama", "vllm"])
    async def test_with_the_token_an_arm_is_asked_first(self, notes: Desk, arm: str) -> None:
        """The header reaches the client as `first`."""
        await notes.http.post("/v1/summarize", json=SUMMARISE, headers={"X-LLM-First": arm, **BEARER})

        assert notes.llm.requests[0].first == arm

    @pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", "Basic an-admin-token", "Bearer caf\u00e9"])
    async def test_without_the_token_it_is_403(self, notes: Desk, given: str | None) -> None:
        """A caller cannot choose an engine."""
        headers = {b"X-LLM-First": b"vllm", **({b"Authorization": given.encode("latin-1")} if given else {})}
        response = await notes.http.post("/v1/summarize", json=SUMMARISE, headers=headers)

        assert (response.status_code, notes.llm.requests) == (403, [])

    async def test_an_unknown_arm_is_400(self, notes: Desk) -> None:
        """A misspelt arm is not measured as another one."""
        response = await notes.http.post("/v1/summarize", json=SUMMARISE, headers={"X-LLM-First": "vlm", **BEARER})

        assert (response.status_code, response.json()["type"]) == (400, "urn:cutover:problem:arm-unknown")

    async def test_without_the_header_nothing_is_pinned(self, notes: Desk) -> None:
        """Holding the token alone changes no route."""
        await notes.http.post("/v1/summarize", json=SUMMARISE, headers=BEARER)

        assert notes.llm.requests[0].first is None


class TestWishes:
    async def test_the_sticky_key_reaches_the_client(self, notes: Desk) -> None:
        """A user stays on one side of a canary."""
        await notes.http.post("/v1/summarize", json=SUMMARISE, headers={"X-Sticky-Key": "user-7"})

        assert notes.llm.requests[0].key == "user-7"

    async def test_without_a_sticky_key_the_request_id_is_the_key(self, notes: Desk) -> None:
        """Each request then falls on its own side."""
        await notes.http.post("/v1/summarize", json=SUMMARISE, headers={"X-Request-Id": "r1"})

        assert notes.llm.requests[0].key == "r1"

    @pytest.mark.parametrize(("wanted", "deadline_s"), [("5", 5.0), ("0.5", 0.5), ("600", 60.0), ("inf", 60.0)])
    async def test_a_deadline_may_be_shortened_only(self, notes: Desk, wanted: str, deadline_s: float) -> None:
        """The service's own limit stays the longest."""
        await notes.http.post("/v1/summarize", json=SUMMARISE, headers={"X-Deadline-S": wanted})

        assert notes.llm.requests[0].deadline_s == deadline_s

    @pytest.mark.parametrize("wanted", ["soon", "0", "-1", "nan", ""])
    async def test_a_nonsense_deadline_is_400(self, notes: Desk, wanted: str) -> None:
        """A deadline that is no time is told, not ignored."""
        response = await notes.http.post("/v1/summarize", json=SUMMARISE, headers={"X-Deadline-S": wanted})

        assert (response.status_code, response.json()["type"]) == (400, "urn:cutover:problem:deadline-invalid")

    async def test_batch_work_says_so(self, notes: Desk) -> None:
        """Interactive requests then go first where they wait together; that is also what silence means."""
        for headers in ({}, {"X-Priority": "batch"}):
            await notes.http.post("/v1/summarize", json=SUMMARISE, headers=headers)

        assert [r.priority for r in notes.llm.requests] == [Priority.INTERACTIVE, Priority.BATCH]

    async def test_an_unknown_priority_is_400(self, notes: Desk) -> None:
        """Told, not ignored."""
        response = await notes.http.post("/v1/summarize", json=SUMMARISE, headers={"X-Priority": "urgent"})

        assert (response.status_code, response.json()["type"]) == (400, "urn:cutover:problem:priority-unknown")


def shapes(schema: Mapping[str, Any], document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a body may look like: each of its alternatives, looked up by name."""
    if "anyOf" in schema:
        return [shape for one in schema["anyOf"] for shape in shapes(one, document)]
    name = schema.get("$ref", "").rpartition("/")[2]
    return [document["components"]["schemas"][name] if name else schema]


class TestHealth:
    async def test_the_process_is_healthy_even_when_nothing_generates(self, desk: Desk) -> None:
        """A supervisor must not restart a service because its engines are down."""
        desk.llm.not_ready = "vllm: breaker open"

        assert (await desk.http.get("/healthz")).status_code == 200

    async def test_it_is_ready_when_the_client_and_the_store_are(self, desk: Desk) -> None:
        """200 and no reasons; it says what the store works with."""
        response = await desk.http.get("/readyz")
        body = response.json()

        assert (response.status_code, body["status"], body["reasons"]) == (200, "ready", {})
        assert body["uses"]["store"].startswith("SQLite 3.")

    async def test_it_says_what_it_searches_with(self, rag: Desk) -> None:
        """Which index of vectors is in use, and that search is by words as long as it holds none."""
        uses = (await rag.http.get("/readyz")).json()["uses"]

        assert uses["words"] == "FTS5"
        assert "no vectors, so search is by words only" in uses["vectors"]

    async def test_it_says_why_it_is_not_ready(self, desk: Desk) -> None:
        """503 with the part and its reason."""
        desk.llm.not_ready = "vllm: breaker open"
        response = await desk.http.get("/readyz")

        assert (response.status_code, response.json()["reasons"]) == (503, {"llm": "vllm: breaker open"})

    async def test_a_closed_store_is_a_reason(self, desk: Desk) -> None:
        """A service without its store is not ready, whatever its engines say."""
        await desk.app.state.room.store.__aexit__(None, None, None)
        response = await desk.http.get("/readyz")

        assert (response.status_code, list(response.json()["reasons"])) == (503, ["store"])

    async def test_metrics_are_the_registry_of_the_app(self, ner: Desk) -> None:
        """Prometheus finds what the service counts."""
        response = await ner.http.get("/metrics")

        assert response.headers["content-type"].startswith("text/plain")
        assert "ner_ungrounded_total 0.0" in response.text

    async def test_the_client_is_open_while_the_app_serves(self, llm: ScriptedClient, notes: Desk) -> None:
        """The lifespan opens the client, and nothing before it does."""
        assert llm.is_open

    async def test_openapi_has_an_example_for_every_body(self, desk: Desk) -> None:
        """A reader of the documentation can try each endpoint as it stands."""
        document = (await desk.http.get("/openapi.json")).json()
        bodies = [
            shape
            for path in document["paths"].values()
            for operation in path.values()
            if "application/json" in operation.get("requestBody", {}).get("content", {})  # a file has no example
            for shape in shapes(operation["requestBody"]["content"]["application/json"]["schema"], document)
        ]

        assert bodies
        assert [body for body in bodies if "example" not in body] == []

    async def test_openapi_describes_errors_as_they_are(self, desk: Desk) -> None:
        """Problem documents everywhere, and nothing of the framework's own form."""
        document = (await desk.http.get("/openapi.json")).json()
        operations = [operation for path in document["paths"].values() for operation in path.values()]

        assert all("application/problem+json" in o["responses"]["4XX"]["content"] for o in operations)
        assert "HTTPValidationError" not in document["components"]["schemas"]


class TestAdmin:
    async def test_the_operator_sees_where_the_service_stands(self, desk: Desk) -> None:
        """The client's own account, with the service's name."""
        response = await desk.http.get("/api/admin/status", headers=BEARER)

        assert (response.status_code, response.json()["stage"]) == (200, "ollama")
        assert response.json()["service"] in ("rag", "notes", "ner")

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
    async def test_nobody_else_does(self, desk: Desk, headers: dict[str, str]) -> None:
        """401 that says how."""
        response = await desk.http.get("/api/admin/status", headers=headers)

        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")

    async def test_without_a_configured_token_the_routes_are_not_there(
        self, llm: ScriptedClient, tmp_path: object
    ) -> None:
        """404 even for somebody who sends an empty token, and no measuring arm for anybody."""
        app = notes_app.build(load({"CUTOVER_HOME": str(tmp_path)}), client=llm)
        async with served(app, llm) as desk:
            for given in ("Bearer ", "Bearer x"):
                headers = {"Authorization": given}
                assert (await desk.http.get("/api/admin/status", headers=headers)).status_code == 404
                headers["X-LLM-First"] = "vllm"
                refused = await desk.http.post("/v1/summarize", json=SUMMARISE, headers=headers)
                assert refused.status_code == 403


async def test_the_same_content_has_the_same_id_everywhere(rag: Desk) -> None:
    """A document's id is the beginning of its content's hash, so that two machines agree."""
    created = await rag.http.post("/v1/documents", json={"title": "a", "text": "b"})

    assert created.json()["id"] == hashlib.sha256(b"a\0b").hexdigest()[:20]
