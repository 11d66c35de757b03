"""What goes to an engine and what counts as its answer: requests checked before, documents checked after."""

from __future__ import annotations

import pytest

from services.llm.errors import AllProvidersFailed, CallerError, PartialError
from services.llm.types import Sampling
from tests.fakes.engine import Fault
from tests.unit.llm.conftest import MakeRig, ask


async def test_schema_answer_is_validated(make_rig: MakeRig) -> None:
    """With a schema, prose is no answer: the next provider is asked, then the caller is told."""
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    async with make_rig() as rig:
        rig.ollama.words = ('{"x"', ": 1}")
        answer = await rig.client.chat(ask(schema=schema))
        rig.ollama.words = ("prose",)
        with pytest.raises(AllProvidersFailed) as caught:
            await rig.client.chat(ask(schema=schema))

    assert answer.text == '{"x": 1}'
    assert caught.value.kind == "partial"
    assert rig.vllm.bodies[0]["response_format"]["json_schema"]["schema"] == schema
    assert rig.ollama.bodies[0]["format"] == schema


async def test_cut_document_is_a_failure(make_rig: MakeRig) -> None:
    """`length` with a schema is a failure even where the text happens to parse."""
    async with make_rig(pin="ollama") as rig:
        rig.ollama.words, rig.ollama.default = ("{}",), Fault.LENGTH
        with pytest.raises(PartialError, match="max_tokens"):
            await rig.client.chat(ask(schema={"type": "object"}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sampling": Sampling(max_tokens=0)}, "max_tokens=0"),
        ({"sampling": Sampling(max_tokens=1, temperature=3)}, "temperature=3"),
        ({"sampling": Sampling(max_tokens=1, stop=("a", "b", "c", "d", "e"))}, "5 stop strings"),
        ({"messages": ()}, "messages is empty"),
        ({"schema": {"type": "nonsense"}}, "not a JSON schema"),
        ({"deadline_s": 0.0}, "deadline_s"),
    ],
)
async def test_wrong_request_reaches_no_engine(make_rig: MakeRig, change: dict[str, object], says: str) -> None:
    """What one engine would refuse and the other would swallow is refused here."""
    async with make_rig() as rig:
        with pytest.raises(CallerError, match=says):
            await rig.client.chat(ask(**change))

    assert not rig.vllm.bodies
    assert not rig.ollama.bodies


async def test_every_sampling_field_is_sent(make_rig: MakeRig) -> None:
    """Both engines are told everything, since their defaults differ."""
    async with make_rig() as rig:
        rig.vllm.default = Fault.BUSY_503
        await rig.client.chat(ask(request_id="r-1"))

    sent = rig.vllm.bodies[0]
    assert {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "max_tokens"} <= sent.keys()
    assert {"presence_penalty", "frequency_penalty"} <= sent.keys()
    assert rig.vllm.headers[0]["x-request-id"] == "r-1"
    options = rig.ollama.bodies[0]["options"]
    assert {
        "num_ctx",
        "num_predict",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repeat_penalty",
        "seed",
    } <= options.keys()
