"""Questions asked from a page: the stream of the API's own events, the last of which carries its piece of the page."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from services.web.answer_json import Answered, Face
from services.web.answering import Answering, C, P, Q, Reply
from services.web.asking import Wishes
from services.web.streams import Event, EventStream

J = TypeVar("J", bound=BaseModel)


def streamed(
    answering: Answering[Q, P, C],
    question: Q,
    wishes: Wishes,
    face: Face[P, C, J],
    shown: Callable[[Answered[J]], str],
) -> EventStream:
    """The events of /v1/ask; `done` has `html` as well: what `shown` renders of the answer, for the page to put in."""
    return EventStream(_events(answering, question, wishes, face, shown), request_id=wishes.request_id)


async def _events(
    answering: Answering[Q, P, C],
    question: Q,
    wishes: Wishes,
    face: Face[P, C, J],
    shown: Callable[[Answered[J]], str],
) -> AsyncGenerator[Event, None]:
    async with contextlib.aclosing(answering.stream(question, wishes)) as events:
        async for event in events:
            told = face.event(event, wishes.request_id)
            if isinstance(event, Reply):
                told = replace(told, data={**told.data, "html": shown(face.answered(event))})
            yield told
