"""A provider that cannot honour a request is not asked, and nobody is called ill for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.llm import registry
from services.llm.errors import AllProvidersFailed, ConfigError, ErrorType, LLMError
from services.llm.registry import Capability
from services.llm.types import Image, Message, Role, Tool, ToolChoice
from tests.unit.llm.conftest import ALIAS, MakeRig, ask

LOOK_UP = Tool(
    name="look_up",
    description="Look a town up.",
    parameters={"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
)
PICTURE = Message(role=Role.USER, content="What is it?", images=(Image(media_type="image/png", data="iVBORw0="),))


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A model that can do everything."""
    known = dict(registry.models())
    known[ALIAS] = replace(known[ALIAS], capabilities=frozenset(Capability))
    monkeypatch.setattr("tests.unit.llm.conftest.models", lambda: known)
    yield


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tools": (LOOK_UP,)}, "tools"),
        ({"messages": (PICTURE,)}, "vision"),
        ({"thinking": True}, "thinking"),
    ],
)
async def test_what_the_model_cannot_do_reaches_no_engine(
    make_rig: MakeRig, change: dict[str, object], named: str
) -> None:
    """Said by name; both engines would have answered 200 to some of these and ignored them."""
    async with make_rig() as rig:
        with pytest.raises(AllProvidersFailed, match=named):
            await rig.client.chat(ask(**change))

    assert rig.vllm.bodies == rig.ollama.bodies == []


@pytest.mark.usefixtures("able")
async def test_a_tool_that_must_be_called_is_never_asked_of_ollama(make_rig: MakeRig) -> None:
    """Ollama takes no heed of tool_choice: its plain text would be silently wrong."""
    async with make_rig() as rig:
        rig.vllm.default = rig.vllm.default.BROKEN_500
        with pytest.raises(LLMError, match="EngineCore"):
            await rig.client.chat(ask(tools=(LOOK_UP,), tool_choice=ToolChoice.REQUIRED))

    assert rig.ollama.bodies == []
    assert [(s.provider, s.reason) for s in rig.events[0].skipped] == [("ollama", ErrorType.CAPABILITY)]


@pytest.mark.usefixtures("able")
async def test_a_plain_answer_where_a_tool_had_to_be_called_is_none(make_rig: MakeRig) -> None:
    """A model that answers in words instead has failed, without being ill."""
    async with make_rig() as rig:
        with pytest.raises(LLMError, match="no tool was called"):
            await rig.client.chat(ask(tools=(LOOK_UP,), tool_choice="look_up"))

        assert not rig.links["vllm"].breaker.is_open
    assert rig.events[0].attempts[0].error is not None
    assert rig.events[0].attempts[0].error.type is ErrorType.BAD_RESPONSE


async def test_an_empty_answer_is_none(make_rig: MakeRig) -> None:
    """The other engine is asked."""
    async with make_rig() as rig:
        rig.vllm.words = ("",)
        answer = await rig.client.chat(ask())

    assert answer.provenance.provider == "ollama"
    assert answer.provenance.fallback_reason == ErrorType.BAD_RESPONSE


async def test_an_alias_of_another_service_is_named(make_rig: MakeRig) -> None:
    """The message lists what there is."""
    async with make_rig() as rig:
        with pytest.raises(ConfigError, match=f"it has: {ALIAS}"):
            await rig.client.chat(ask(alias="llama-4"))
