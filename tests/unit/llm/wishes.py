"""What requests of these tests ask for: tools, images, odd sampling, and models that can do all of it or little."""

from __future__ import annotations

from dataclasses import replace

from services.llm.registry import Capability, model
from services.llm.types import Image, Message, Role, Sampling, Tool, ToolCall
from tests.unit.llm.conftest import ALIAS

ARGUMENTS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="weather", description="The weather of a city.", parameters=ARGUMENTS)
CLOCK = Tool(name="clock", description="The time of a city.", parameters=ARGUMENTS)
CALL = ToolCall(id="call_7", name="weather", arguments={"city": "Zürich"})
PIXEL = Image(media_type="image/png", data="aVZCT1J3")
SEEN = Message(role=Role.USER, content="What is this?", images=(PIXEL, PIXEL))
ODD = Sampling(
    max_tokens=33,
    temperature=0.5,
    top_p=0.9,
    top_k=40,
    min_p=0.05,
    repetition_penalty=1.1,
    presence_penalty=0.2,
    frequency_penalty=0.3,
    seed=7,
    stop=("END", "\n\n"),
)
ABLE = replace(model(ALIAS), capabilities=frozenset(Capability), stop=("<|im_end|>",))
PLAIN = model(ALIAS)
USER = Message(role=Role.USER, content="Hi")
