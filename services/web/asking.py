"""How one HTTP request wants its model asked: its id, canary key, measuring arm, time and priority."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from services.llm.routing import OLLAMA, VLLM
from services.llm.tracing import parse
from services.llm.types import ChatRequest, JSONSchema, Message, Priority, Rescue, Sampling
from services.web.auth import holds_token
from services.web.problems import Problem
from services.web.request_id import request_id
from services.web.room import room

ARMS = (OLLAMA, VLLM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the headers said. `key` makes the canary sticky; `first` is a measuring arm; seconds for all attempts."""

    request_id: str
    key: str
    first: str | None
    deadline_s: float
    priority: Priority = Priority.INTERACTIVE
    traceparent: str = ""

    def chat(
        self,
        *,
        service: str,
        alias: str,
        messages: tuple[Message, ...],
        max_tokens: int,
        schema: JSONSchema | None = None,
        rescue: Rescue = Rescue.NONE,
    ) -> ChatRequest:
        """The typed request of a use case that was asked with these wishes."""
        return ChatRequest(
            service=service,
            alias=alias,
            messages=messages,
            sampling=Sampling(max_tokens=max_tokens),
            deadline_s=self.deadline_s,
            schema=schema,
            key=self.key,
            first=self.first,
            rescue=rescue,
            priority=self.priority,
            request_id=self.request_id,
            traceparent=self.traceparent,
        )


def wishes(
    request: Request,
    x_llm_first: Annotated[
        str | None, Header(description="Measuring arm, `ollama` or `vllm`; needs the admin token.")
    ] = None,
    x_sticky_key: Annotated[
        str | None, Header(max_length=256, description="Keeps a user or document on one side of a canary.")
    ] = None,
    x_deadline_s: Annotated[
        str | None, Header(description="Seconds for the whole request, at most the service's own limit.")
    ] = None,
    x_priority: Annotated[
        str | None, Header(description="`batch` lets `interactive` requests, the default, go first.")
    ] = None,
    traceparent: Annotated[
        str | None, Header(description="W3C trace context; what the engine does is told to be part of that trace.")
    ] = None,
) -> Wishes:
    """Dependency of every endpoint that asks a model."""
    own_id = request_id(request)
    return Wishes(
        request_id=own_id,
        key=x_sticky_key or own_id,
        first=_arm(request, x_llm_first),
        deadline_s=_deadline_s(x_deadline_s, room(request).limits.deadline_s),
        priority=_priority(x_priority),
        traceparent=_traceparent(traceparent),
    )


Asking = Annotated[Wishes, Depends(wishes)]


def _traceparent(offered: str | None) -> str:
    """As it came where it is one; W3C has a broken one ignored, not refused."""
    return offered if offered and parse(offered) else ""


def _arm(request: Request, wanted: str | None) -> str | None:
    if wanted is None:
        return None
    if not holds_token(request, room(request).admin_token):
        raise Problem(403, "measuring-refused", "X-LLM-First needs `X-Admin-Token` with the ADMIN_TOKEN")
    if wanted not in ARMS:
        raise Problem(400, "arm-unknown", f"X-LLM-First is {wanted!r}; use one of {', '.join(ARMS)}")
    return wanted


def _priority(wanted: str | None) -> Priority:
    if wanted is None:
        return Priority.INTERACTIVE
    names = [p.name.lower() for p in Priority]
    if wanted not in names:
        raise Problem(400, "priority-unknown", f"X-Priority is {wanted!r}; use one of {', '.join(names)}")
    return Priority[wanted.upper()]


def _deadline_s(wanted: str | None, limit_s: float) -> float:
    if wanted is None:
        return limit_s
    try:
        seconds = float(wanted)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:  # also refuses nan
        raise Problem(400, "deadline-invalid", f"X-Deadline-S is {wanted!r}; use a number of seconds above 0")
    return min(seconds, limit_s)
