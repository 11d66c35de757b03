"""Asks a service one measured request and tells what came back: times, provenance, tokens, the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from services.api_keys import ApiKeys
from services.migration.errors import EngineUnreachable, GateError
from services.migration.records import Side
from services.migration.workload import Workload

PARTIAL = "partial"
NO_ENGINE = "no engine was asked"
"""The service answered by itself: RAG does where its store holds nothing for the question."""
NOTHING_HELD = (
    "`cutover sample` posts the documents that the shipped questions are about; post yours for your own recipe"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `error` is empty when the service gave a whole one; times in seconds of the caller's clock."""

    sent_s: float
    end_s: float
    first_token_s: float | None = None
    status: int = 0
    error: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def llm(self) -> Mapping[str, Any]:
        found = self.body.get("llm")
        return found if isinstance(found, Mapping) else {}

    @property
    def tried(self) -> frozenset[str]:
        """The providers that were asked or passed over for a reason of their own (breaker, window)."""
        tries = [*(self.llm.get("attempts") or ()), *(self.llm.get("skipped") or ())]
        return frozenset(str(t.get("provider")) for t in tries if isinstance(t, Mapping))

    def tokens(self, kind: str) -> int | None:
        usage = self.llm.get("usage")
        found = usage.get(f"{kind}_tokens") if isinstance(usage, Mapping) else None
        return found if isinstance(found, int) else None


class NotReached(Exception):
    """The service itself refused the connection: nobody's answer, not an engine's error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Sends one workload's requests to one service. `limit_s` bounds each; `clock` in seconds."""

    client: httpx2.AsyncClient
    url: str
    workload: Workload
    keys: ApiKeys
    token: str
    limit_s: float
    clock: Callable[[], float]

    async def ask(self, item: str, side: Side, nonce: str) -> Reply:
        """One request of an item, with the side asked first. Raises `NotReached` where the service is down."""
        return await self._asked(item, nonce, {"X-LLM-First": side.provider, **self.keys.headers(self.token)})

    async def ask_as(self, item: str, key: str, nonce: str) -> Reply:
        """One request like a user's, routed by the rollout file; `key` decides its arm. Raises `NotReached`."""
        return await self._asked(item, nonce, {"X-Sticky-Key": key, **self.keys.headers()})

    async def _asked(self, item: str, nonce: str, headers: Mapping[str, str]) -> Reply:
        found = self.workload.item(item)
        body = dict(found.body)
        body[self.workload.nonce_field] = nonce + str(body[self.workload.nonce_field])
        if self.workload.stream:
            body["stream"] = True
        sent = self.clock()
        try:
            async with asyncio.timeout(self.limit_s):
                return await self._sent(sent, self.workload.path_of(found), body, headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
            raise NotReached(str(exc)) from exc
        except TimeoutError:
            return Reply(sent_s=sent, end_s=self.clock(), error="timeout")
        except httpx2.HTTPError as exc:
            return Reply(sent_s=sent, end_s=self.clock(), error=f"transport:{type(exc).__name__}")

    async def _sent(self, sent: float, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
        url = self.url + path
        async with self.client.stream("POST", url, json=body, headers=headers, timeout=self.limit_s) as answer:
            if answer.status_code == 200 and "event-stream" in answer.headers.get("content-type", ""):
                return await self._streamed(sent, answer)
            text = (await answer.aread()).decode(errors="replace")
            end = self.clock()
        found = _document(text)
        if answer.status_code != 200:
            return Reply(sent_s=sent, end_s=end, status=answer.status_code, error=_problem(answer.status_code, found),
                         body=found or {})  # fmt: skip
        if found is None:
            return Reply(sent_s=sent, end_s=end, status=200, error="the answer is no JSON object")
        return Reply(sent_s=sent, end_s=end, status=200, body=found, error=_unsigned(found))

    async def _streamed(self, sent: float, answer: httpx2.Response) -> Reply:
        """A stream: the first non-empty token counts, a restart voids what came, one terminal event ends it."""
        first: float | None = None
        retrieved: object = ()
        async for event in httpx2.EventSource(answer):
            data = _document(event.data) or {}
            match event.event:
                case "retrieved":
                    retrieved = data.get("hits")
                case "token" if data.get("text") and first is None:
                    first = self.clock()
                case "restart":
                    first = None
                case "done":
                    broken = PARTIAL if data.get("outcome") == PARTIAL else ""
                    body = {**data, "retrieved": retrieved}
                    return Reply(sent_s=sent, end_s=self.clock(), first_token_s=first, status=200, body=body,
                                 error=broken or _error_of(data))  # fmt: skip
                case "error":
                    return Reply(sent_s=sent, end_s=self.clock(), status=200, body=data,
                                 error=str(data.get("type") or "error event"))  # fmt: skip
        return Reply(sent_s=sent, end_s=self.clock(), status=200, error="stream without an end")


def _error_of(data: Mapping[str, Any]) -> str:
    found = data.get("error")
    if found:
        return str(found.get("type") if isinstance(found, Mapping) else found)[:200]
    return _unsigned(data)


def _unsigned(answer: Mapping[str, Any]) -> str:
    """Why nobody can tell which engine an answer is of; empty where it says so."""
    if isinstance(answer.get("llm"), Mapping):
        return ""
    return NO_ENGINE if "llm" in answer else "no provenance in the answer"


def _document(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _problem(status: int, found: Mapping[str, Any] | None) -> str:
    kind = str((found or {}).get("type") or "")
    return f"http_{status}" + (f" {kind.rsplit('/', 1)[-1].rsplit(':', 1)[-1]}" if kind else "")


def refuse_unusable(reply: Reply, side: Side, service: str, url: str) -> None:
    """Stop before the first round where no round could count. Raises `GateError` or `EngineUnreachable`."""
    if reply.status in (401, 403):
        raise GateError(
            f"{service} at {url} refused the key or the token ({reply.error}): measuring needs ADMIN_TOKEN, the same "
            "for the service and for this command (`cutover up` makes one), and CUTOVER_API_KEY where it has API keys"
        )
    if reply.status in (400, 404, 405, 422):
        raise GateError(
            f"{service} at {url} refused a measured request ({reply.error}: {reply.body.get('detail', '')}); is the "
            f"workload's path and body right, and does this service know the arm {side.provider!r}?"
        )
    if reply.error == NO_ENGINE:
        raise GateError(
            f"{service} at {url} answered a measured request without an engine "
            f"({str(reply.body.get('answer'))[:80]!r}): it holds nothing to answer from. {NOTHING_HELD}"
        )
    if not reply.error and side.provider not in reply.tried:
        raise GateError(
            f"{service} was to ask {side.provider} first and asked {', '.join(sorted(reply.tried)) or 'nobody'}: "
            f"is it pinned by {service.upper()}_LLM_PROVIDER or LLM_PROVIDER? Unset it for the measurement"
        )


def unreachable(service: str, url: str) -> EngineUnreachable:
    return EngineUnreachable(f"the {service} service does not answer at {url}; start it with `cutover up`")
