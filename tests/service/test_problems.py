"""Every error is a problem document with the right status, and tells nothing that is nobody's business."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.llm.errors import (
    AllProvidersFailed,
    BusyError,
    CallerError,
    ConfigError,
    ContextTooLong,
    DeadError,
    DeadlineExceeded,
    LLMError,
)
from services.store.errors import StoreError
from tests.service.scripted import Desk, cut

SUMMARISE = {"text": "Ivo swaps the fan."}


class TestProblems:
    @pytest.mark.parametrize(
        ("error", "status", "code", "retry_after"),
        [
            (ContextTooLong("9 > 8"), 413, "context-too-long", None),
            (CallerError("no"), 400, "request-refused", None),
            (ConfigError("no model", provider="vllm"), 502, "engine-misconfigured", None),
            (BusyError("full", retry_after_s=2.2), 503, "engines-busy", "3"),
            (BusyError("full"), 503, "engines-busy", "1"),
            (DeadError("gone", provider="vllm"), 503, "engines-down", "5"),
            (DeadlineExceeded("late"), 504, "deadline-exceeded", None),
            (cut("half"), 502, "answer-broken", None),
            (AllProvidersFailed((ConfigError("a"), DeadError("b"))), 503, "engines-down", "5"),
            (AllProvidersFailed((DeadError("a"), DeadlineExceeded("b"))), 504, "deadline-exceeded", None),
            (AllProvidersFailed((DeadError("a"), ContextTooLong("b"))), 413, "context-too-long", None),
            (AllProvidersFailed(()), 502, "engine-misconfigured", None),
        ],
    )
    async def test_an_error_of_the_client_has_its_status(
        self, notes: Desk, error: LLMError, status: int, code: str, retry_after: str | None
    ) -> None:
        """One row per class of error."""
        notes.llm.answers = [error]
        response = await notes.http.post("/v1/summarize", json=SUMMARISE)

        assert (response.status_code, response.headers.get("retry-after")) == (status, retry_after)
        assert response.json()["type"] == f"urn:cutover:problem:{code}"

    async def test_a_problem_has_the_members_of_rfc_9457(self, notes: Desk) -> None:
        """Programs find type and status, people find title and detail, operators find the request."""
        response = await notes.http.get("/v1/notes/none")

        assert response.headers["content-type"] == "application/problem+json"
        assert response.json() == {
            "type": "urn:cutover:problem:not-found",
            "title": "Not found",
            "status": 404,
            "detail": "no note 'none'",
            "request_id": response.headers["x-request-id"],
        }

    async def test_an_unforeseen_error_tells_nothing_of_itself(self, notes: Desk) -> None:
        """500 is a problem document with a request id and without internals."""
        notes.llm.answers = [ZeroDivisionError("a secret")]
        response = await notes.http.post("/v1/summarize", json=SUMMARISE)

        assert (response.status_code, response.json()["type"]) == (500, "urn:cutover:problem:unexpected")
        assert response.json()["request_id"] == response.headers["x-request-id"]
        assert "secret" not in response.text

    @pytest.mark.parametrize(("is_full", "status"), [(True, 507), (False, 503)])
    async def test_a_failing_store_is_told_apart_from_a_bug(
        self, notes: Desk, caplog: pytest.LogCaptureFixture, is_full: bool, status: int
    ) -> None:
        """A full disk is not the caller's fault, and not an unforeseen one. The reason is in the log alone."""
        notes.llm.answers = [StoreError("/secret/path", is_full=is_full)]
        response = await notes.http.post("/v1/summarize", json=SUMMARISE)

        assert response.status_code == status
        assert "secret" not in response.text
        assert "store.failed reason=/secret/path" in caplog.messages

    async def test_an_unknown_path_and_a_wrong_method_are_problems_too(self, desk: Desk) -> None:
        """The framework's own errors have our form."""
        for response in (await desk.http.get("/nowhere"), await desk.http.delete("/healthz")):
            assert response.headers["content-type"] == "application/problem+json"
            assert response.status_code in (404, 405)

    @pytest.mark.parametrize(
        ("body", "status"),
        [(b"{", 400), (b"", 422), (b"[1]", 422), (b'{"text": "\xff"}', 400), (b'{"text": "\\ud800"}', 422)],
        ids=["not JSON", "empty", "not an object", "not UTF-8", "half a surrogate pair"],
    )
    async def test_a_body_that_is_no_request_is_refused(self, notes: Desk, body: bytes, status: int) -> None:
        """Broken JSON, broken UTF-8 and broken Unicode never reach a model."""
        response = await notes.http.post("/v1/summarize", content=body, headers={"Content-Type": "application/json"})

        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
        assert notes.llm.requests == []

    async def test_a_body_that_is_wrong_all_over_gets_a_short_answer(self, ner: Desk) -> None:
        """The first twenty and how many more; a name that the caller made up is cut."""
        wrong = {"text": "Ivo", "x" * 100_000: 1, **{f"x{n}": 1 for n in range(5000)}}
        response = await ner.http.post("/v1/extract", json=wrong)
        problem = response.json()

        assert (response.status_code, len(problem["errors"])) == (422, 20)
        assert problem["detail"].endswith("and 4981 more")
        assert len(response.content) < 10_000

    @pytest.mark.parametrize("path", ["/v1/documents", "/v1/search"])
    async def test_a_number_that_python_does_not_read_is_refused(self, rag: Desk, path: str) -> None:
        """More digits than it turns into a number."""
        body = b'{"query": "fan", "k": ' + b"9" * 5000 + b"}"
        response = await rag.http.post(path, content=body, headers={"Content-Type": "application/json"})

        assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")


class TestBodyLimit:
    async def test_an_announced_large_body_is_413(self, desk: Desk) -> None:
        """More than a mebibyte is refused before it is read."""
        headers = {"Content-Type": "application/json"}
        response = await desk.http.post("/v1/documents", content=b"x" * (1024 * 1024 + 1), headers=headers)

        assert (response.status_code, response.json()["type"]) == (413, "urn:cutover:problem:body-too-large")

    async def test_a_large_body_without_a_length_is_413(self, notes: Desk) -> None:
        """The bytes are counted as they come, so a missing length does not help."""

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b"x" * 65536

        headers = {"Content-Type": "application/json"}
        response = await notes.http.post("/v1/summarize", content=pieces(), headers=headers)

        assert (response.status_code, response.headers["content-type"]) == (413, "application/problem+json")
