"""A stream that broke and goes on: from the start where the caller can void it, or from where it broke."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.llm import registry
from services.llm.errors import CallerError, ErrorType
from services.llm.registry import Capability
from services.llm.types import Chunk, Continued, Finish, Outcome, Rescue, Restarted, Sampling, Token, Tool, ToolCall
from tests.fakes.engine import Fault
from tests.unit.llm.conftest import ALIAS, MakeRig, ask, end, read, shown
from tests.unit.llm.scripted import STOP, Scripted, cut, over, refusal, refused

BROKEN = [Fault.CUT_MIDDLE, Fault.STALL_MIDDLE, Fault.ERROR_MIDDLE, Fault.NO_FINISH]


@pytest.fixture(autouse=True)
def prefilling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A model that both engines can have continued."""
    known = dict(registry.models())
    known[ALIAS] = replace(known[ALIAS], capabilities=known[ALIAS].capabilities | {Capability.PREFILL})
    monkeypatch.setattr("tests.unit.llm.conftest.models", lambda: known)
    yield


@pytest.mark.parametrize("fault", BROKEN)
async def test_continued_where_it_broke(make_rig: MakeRig, fault: Fault) -> None:
    """The next provider gets what was shown as the beginning of its answer, and writes on; the reader is told."""
    async with make_rig() as rig:
        rig.vllm.default = fault
        events = await read(rig.client, ask(rescue=Rescue.CONTINUE))
        begun = rig.ollama.bodies[0]["messages"][-1]

    told = [type(e) for e in events]
    shown = "".join(e.text for e in events if isinstance(e, Token))
    begin = begun["content"]
    assert told.count(Continued) == 1
    assert begun["role"] == "assistant"
    assert shown == begin + "Salut d'Ollama" == end(events).answer.text
    assert end(events).outcome is Outcome.RESCUED
    assert end(events).answer.provenance.provider == "ollama"


async def test_what_was_written_counts_towards_the_limit(make_rig: MakeRig) -> None:
    """The continuation gets what is left of max_tokens."""
    async with make_rig() as rig:
        rig.vllm.default = Fault.CUT_MIDDLE
        await read(rig.client, ask(rescue=Rescue.CONTINUE, sampling=Sampling(max_tokens=8)))

    assert rig.ollama.bodies[0]["options"]["num_predict"] == 6


async def test_a_continuation_has_a_budget_of_one(make_rig: MakeRig) -> None:
    """When it breaks too, the reader is told that the rest is missing, and keeps what came."""
    async with make_rig() as rig:
        rig.vllm.default = rig.ollama.default = Fault.CUT_MIDDLE
        events = await read(rig.client, ask(rescue=Rescue.CONTINUE))

    assert end(events).outcome is Outcome.PARTIAL
    assert end(events).answer.text == "Bonjour from" + "Salut"
    assert len(rig.events[0].attempts) == 2


async def test_a_model_that_cannot_be_continued_is_not_asked(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that closes the turn would start a second answer behind the first."""
    known = dict(registry.models())
    known[ALIAS] = replace(known[ALIAS], capabilities=known[ALIAS].capabilities - {Capability.PREFILL})
    monkeypatch.setattr("tests.unit.llm.conftest.models", lambda: known)
    async with make_rig() as rig:
        rig.vllm.default = Fault.CUT_MIDDLE
        events = await read(rig.client, ask(rescue=Rescue.CONTINUE))

    assert end(events).outcome is Outcome.PARTIAL
    assert rig.ollama.bodies == []
    assert [s.reason for s in rig.events[0].skipped] == [ErrorType.CAPABILITY]


async def test_a_document_is_never_continued_by_another_engine(make_rig: MakeRig) -> None:
    """Half of one and half of another fit no schema."""
    async with make_rig() as rig:
        with pytest.raises(CallerError, match="RESTART"):
            await read(rig.client, ask(rescue=Rescue.CONTINUE, schema={"type": "object"}))

    assert rig.vllm.bodies == []


async def test_a_restart_that_only_calls_a_tool_voids_the_text() -> None:
    """Without any text of its own it answers all the same; the reader must not keep the first one's words."""
    tool = Tool(name="f", description="", parameters={"type": "object"})
    call = ToolCall(id="1", name="f", arguments={})
    second = Scripted("ollama", Chunk(finish=Finish.TOOLS, tool_calls=(call,)))
    async with over(Scripted("vllm", Chunk(text="Let me"), cut()), second) as client:
        events = await read(client, ask(rescue=Rescue.RESTART, tools=(tool,)))

    assert shown(events) == end(events).answer.text == ""
    assert end(events).outcome is Outcome.RESCUED
    assert end(events).answer.tool_calls == (call,)


async def test_a_continuation_with_nothing_to_add_is_whole() -> None:
    """The first broke off behind its last word; the answer is what the reader has."""
    async with over(Scripted("vllm", Chunk(text="Hello"), cut()), Scripted("ollama", STOP)) as client:
        events = await read(client, ask(rescue=Rescue.CONTINUE))

    assert shown(events) == end(events).answer.text == "Hello"
    assert end(events).outcome is Outcome.RESCUED


async def test_a_restart_tells_what_broke_not_who_was_passed_over() -> None:
    """The reason is the first one's, also where another provider was skipped between."""
    last = Scripted("remote", Chunk(text="anew"), STOP)
    providers = (Scripted("vllm", Chunk(text="a"), cut()), Scripted("ollama", whole=refused), last)
    async with over(*providers, last_resort=("remote",)) as client:
        client.links["ollama"].breaker.failed(refusal())
        events = await read(client, ask(rescue=Rescue.RESTART))

    assert [e.reason for e in events if isinstance(e, Restarted)] == [ErrorType.CUT]
