"""What no wire can carry: text that is no Unicode, numbers that are no JSON, an image that is no base64. Pure.

Refused before anybody is asked: else the engines' libraries find out, and an engine is blamed for its caller's words.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from services.llm.types import ChatRequest, Message, is_text


def problems(request: ChatRequest) -> list[str]:
    """Everything in the request that cannot be sent, but its schemas, which are looked through elsewhere."""
    found = [f"{where} holds half of a surrogate pair" for where, text in _texts(request) if not is_text(text)]
    for message in request.messages:
        found += _message_problems(message)
    if not (request.request_id.isascii() and request.request_id.isprintable()):
        found.append(f"request_id={request.request_id!a} does not fit into a header")
    return found


def _texts(request: ChatRequest) -> Iterator[tuple[str, str]]:
    for message in request.messages:
        yield f"a message of role {message.role}", message.content
        for call in (*message.tool_calls, *filter(None, [message.call])):
            yield "a tool call", call.id + call.name
    for tool in request.tools:
        yield "a tool", tool.name + tool.description
    for stop in request.sampling.stop:
        yield "a stop string", stop
    yield "prefill", request.prefill


def _message_problems(message: Message) -> Iterator[str]:
    for call in message.tool_calls:
        try:
            json.dumps(dict(call.arguments), allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as exc:
            yield f"the arguments of the call {call.name!a} are not JSON: {exc}"
    for image in message.images:
        try:
            base64.b64decode(image.data, validate=True)
        except ValueError as exc:
            yield f"an image is not base64: {exc}"
