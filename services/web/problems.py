"""Errors as the caller sees them: RFC 9457 problem documents, and the one table from cause to status.

Nothing of an unexpected error leaves the process but its request id; the log has the rest.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from services.llm.errors import AllProvidersFailed, ContextTooLong, DeadlineExceeded, Kind, LLMError
from services.store.errors import StoreError
from services.web.page_paths import is_page
from services.web.request_id import HEADER
from services.web.route_path import route_path

log = logging.getLogger("cutover.web")

MEDIA_TYPE = "application/problem+json"
DEAD_RETRY_AFTER_S = 5.0
CLIENT_CLOSED_REQUEST = 499
MOST_ERRORS = 20
"""Fields that one answer tells to be wrong; of more it tells the number."""
MOST_FIELD_CHARS = 100

TITLES: Mapping[int, str] = {
    400: "Bad request",
    401: "Key or token missing or wrong",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    412: "Changed meanwhile",
    413: "Too large",
    422: "Fields not valid",
    428: "Precondition missing",
    429: "Too many requests",
    500: "Unexpected error",
    502: "Engine answer not usable",
    503: "Not available now",
    504: "Out of time",
    507: "No room left in the store",
}


_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:cutover:problem:not-found"]},
        "title": {"type": "string", "examples": ["Not found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["no document 'abc'"]},
        "request_id": {"type": "string", "examples": ["5f0c2b1e9d5b4a0e8b6f3f6f2f1d7c11"]},
    },
}
_DOCUMENTED: dict[str, Any] = {"description": "Problem document", "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}

RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": _DOCUMENTED, "5XX": _DOCUMENTED}
"""For OpenAPI: what every route may answer. Takes the place of the framework's own 422, which we never send."""


class Problem(HTTPException):
    """What an endpoint raises to say no. `code` names the problem type for programs, `detail` says it for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(status, detail, headers)
        self.code = code
        self.members = members

    def document(self, request_id: str) -> dict[str, Any]:
        """The RFC 9457 members, then our own."""
        return {
            "type": f"urn:cutover:problem:{self.code}",
            "title": TITLES.get(self.status_code, "Error"),
            "status": self.status_code,
            "detail": self.detail,
            "request_id": request_id,
            **self.members,
        }

    def response(self, request_id: str) -> Response:
        body = json.dumps(self.document(request_id)).encode()
        headers = {**(self.headers or {}), HEADER: request_id}
        return Response(body, self.status_code, headers, media_type=MEDIA_TYPE)


def missing(what: str, identifier: object) -> Problem:
    """404 for an id that names nothing."""
    return Problem(404, "not-found", f"no {what} {identifier!r}")


def unexpected() -> Problem:
    """500 without internals."""
    return Problem(500, "unexpected", "an error that nobody foresaw; the service's log has it under this request id")


def of_llm(error: LLMError) -> Problem:
    """The problem that an error of the LLM client is for the service's caller."""
    root = error.root if isinstance(error, AllProvidersFailed) else error
    members: dict[str, Any] = {"error_type": str(root.type), "causes": _causes(error)}
    match root:
        case ContextTooLong():
            return Problem(413, "context-too-long", root.detail, **members)
        case DeadlineExceeded():
            return Problem(504, "deadline-exceeded", "the request's time was up before an engine answered", **members)
    match root.kind:
        case Kind.CALLER:
            return Problem(400, "request-refused", root.detail, **members)
        case Kind.CONFIG:
            return Problem(502, "engine-misconfigured", "the engines are not set up for this model", **members)
        case Kind.BUSY:
            headers = _retry_after(error.retry_after_s or 1.0)
            return Problem(503, "engines-busy", "every engine has its hands full", headers=headers, **members)
        case Kind.DEAD:
            headers = _retry_after(error.retry_after_s or DEAD_RETRY_AFTER_S)
            return Problem(503, "engines-down", "no engine could answer", headers=headers, **members)
        case Kind.PARTIAL:
            return Problem(502, "answer-broken", "the engines' answers were cut or not valid", **members)


def of_store(error: StoreError) -> Problem:
    """The problem that a failing store is for the service's caller. The reason is for the log alone."""
    log.error("store.failed reason=%s", error)
    if error.is_full:
        return Problem(507, "store-full", "the disk or the store's file is full; nothing was changed")
    return Problem(503, "store-unavailable", "the store did not answer; nothing was changed", headers=_retry_after(1.0))


def _causes(error: LLMError) -> list[dict[str, str]]:
    causes = error.causes if isinstance(error, AllProvidersFailed) else (error,)
    return [{"provider": c.provider, "kind": str(c.kind), "error_type": str(c.type)} for c in causes]


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(math.ceil(seconds))}


def of_http(error: HTTPException) -> Problem:
    """Ours as it is; the framework's own (404 for a path, 405, a body that is not text) put into our form."""
    if isinstance(error, Problem):
        return error
    code = TITLES.get(error.status_code, "http error").lower().replace(" ", "-")
    return Problem(error.status_code, code, error.detail, headers=error.headers)


def of_validation(error: RequestValidationError) -> Problem:
    """422 with the first fields and what is wrong with them; never a value, which may be large or private."""
    found = error.errors()
    errors = [{"field": _field(e["loc"]), "problem": str(e["msg"])} for e in found[:MOST_ERRORS]]
    if any(e["type"] == "json_invalid" for e in found):
        return Problem(400, "json-invalid", "the body is not JSON", errors=errors)
    told = [f"{e['field']}: {e['problem']}" for e in errors]
    more = [f"and {len(found) - len(errors)} more"] if len(found) > len(errors) else []
    return Problem(422, "fields-invalid", "; ".join([*told, *more]), errors=errors)


def _field(place: Sequence[Any]) -> str:
    """Where it is, cut: the caller may have made up its name."""
    name = ".".join(map(str, place))
    return name if len(name) <= MOST_FIELD_CHARS else f"{name[:MOST_FIELD_CHARS]}..."


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(LLMError, _llm)
    app.add_exception_handler(StoreError, _store)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


def told_by(scope: Scope, problem: Problem) -> Response:
    """The problem document, or the page of it where people look: the app's `state.problem_page` makes that one."""
    page = getattr(scope["app"].state, "problem_page", None) if "app" in scope else None
    if page is not None and is_page(route_path(scope)):
        told: Response = page(Request(scope), problem)
        return told
    return problem.response(scope["state"]["request_id"])


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return told_by(request.scope, of_http(error))


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return told_by(request.scope, of_validation(error))


async def _llm(request: Request, error: Exception) -> Response:
    assert isinstance(error, LLMError)
    return told_by(request.scope, of_llm(error))


async def _store(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)
    return told_by(request.scope, of_store(error))


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _unexpected(request: Request, _error: Exception) -> Response:
    return told_by(request.scope, unexpected())
