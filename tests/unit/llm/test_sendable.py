"""What no wire can carry is the caller's mistake: refused before anybody is asked, and nobody is blamed."""

from __future__ import annotations

import math

import pytest

from services.llm.errors import CallerError
from services.llm.mapping import check
from services.llm.spaces import EmbeddingSpace, EmbedRequest, check_request
from services.llm.types import ChatRequest, Image, Message, Role, Sampling, Tool, ToolCall
from tests.unit.llm.conftest import MakeRig, ask

HALF = "\ud83d"
"""What `"\\ud83d"` in somebody's JSON becomes: half of an emoji."""


def said(content: str) -> Message:
    return Message(role=Role.USER, content=content)


def called(**arguments: object) -> tuple[Message, ...]:
    call = ToolCall(id="1", name="f", arguments=arguments)
    return said("Hi"), Message(role=Role.ASSISTANT, content="", tool_calls=(call,)), said("And?")


def seen(data: str) -> Message:
    return Message(role=Role.USER, content="", images=(Image(media_type="image/png", data=data),))


CANNOT_BE_SENT = {
    "a prompt": ask(messages=(said(HALF),)),
    "a prefill": ask(prefill=HALF),
    "a stop string": ask(sampling=Sampling(max_tokens=8, stop=(HALF,))),
    "a schema": ask(schema={"title": HALF}),
    "a tool": ask(tools=(Tool(name="f", description=HALF, parameters={}),)),
    "parameters": ask(tools=(Tool(name="f", description="", parameters={"title": HALF}),)),
    "arguments": ask(messages=called(x=HALF)),
    "a number": ask(messages=called(x=math.nan)),
    "an object": ask(messages=called(x=object())),
    "a bound": ask(schema={"type": "number", "maximum": math.inf}),
    "no penalty": ask(sampling=Sampling(max_tokens=8, repetition_penalty=math.nan)),
    "endless penalty": ask(sampling=Sampling(max_tokens=8, repetition_penalty=math.inf)),
    "no deadline": ask(deadline_s=math.nan),
    "a header": ask(request_id="é"),
    "two headers": ask(request_id="a\r\nX-Other: b"),
    "a path": ask(messages=(seen("/etc/passwd"),)),
}


@pytest.mark.parametrize("request_", CANNOT_BE_SENT.values(), ids=list(CANNOT_BE_SENT))
def test_what_cannot_be_sent_is_refused(request_: ChatRequest) -> None:
    with pytest.raises(CallerError):
        check(request_)


@pytest.mark.parametrize("name", ["a prompt", "a stop string", "a schema", "a header"])
async def test_the_callers_mistake_trips_nobody(make_rig: MakeRig, name: str) -> None:
    """Three of them once opened both breakers, and every other caller was turned away."""
    async with make_rig() as rig:
        for _ in range(3):
            with pytest.raises(CallerError):
                await rig.client.chat(CANNOT_BE_SENT[name])
        states = [link.breaker.is_open for link in rig.links.values()]

    assert states == [False, False]
    assert rig.vllm.bodies == rig.ollama.bodies == []


@pytest.mark.parametrize("change", [{"texts": (HALF,)}, {"deadline_s": math.nan}])
def test_what_cannot_be_embedded_is_refused(change: dict[str, object]) -> None:
    space = EmbeddingSpace(model="m", revision="r", dimension=2, normalised=True)
    fields: dict[str, object] = {"service": "rag", "alias": "m", "texts": ("a",), "deadline_s": 1.0}
    with pytest.raises(CallerError):
        check_request(EmbedRequest(**{**fields, **change}), space)  # type: ignore[arg-type]


async def test_a_valid_request_of_every_kind_passes() -> None:
    """An emoji that is whole, nested arguments, an image."""
    check(ask(messages=(*called(x={"y": [1.5, "é"]}), seen("aGk=")), prefill="\U0001f600"))
