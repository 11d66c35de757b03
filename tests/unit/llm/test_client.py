"""The client through two fake engines: who answers, after which attempts, and what is never done."""

from __future__ import annotations

import asyncio

import pytest

from services.llm.errors import (
    AllProvidersFailed,
    BusyError,
    CallerError,
    ContextTooLong,
    DeadlineExceeded,
    ErrorType,
    LLMError,
)
from services.llm.types import Finish, Message, Role
from tests.fakes.engine import Fault, free_port, serving
from tests.unit.llm.conftest import MakeRig, ask


async def test_answer_says_who_gave_it(make_rig: MakeRig) -> None:
    """A plain answer comes from the first provider, with its usage and one attempt."""
    async with make_rig() as rig:
        answer = await rig.client.chat(ask())

    assert answer.text == "Bonjour from a fake"
    assert answer.finish is Finish.STOP
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 4)
    assert [a.provider for a in answer.provenance.attempts] == ["vllm"]
    assert answer.provenance.fallback_reason is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.BUSY_503, ErrorType.HTTP_5XX),
        (Fault.BUSY_429, ErrorType.HTTP_429),
        (Fault.BROKEN_500, ErrorType.HTTP_5XX),
        (Fault.MODEL_404, ErrorType.MODEL_NOT_FOUND),
        (Fault.KEY_401, ErrorType.HTTP_4XX),
        (Fault.CUT_FIRST, ErrorType.CUT),
        (Fault.MALFORMED, ErrorType.BAD_RESPONSE),
    ],
)
async def test_falls_back(make_rig: MakeRig, fault: Fault, reason: ErrorType) -> None:
    """What is wrong with one engine is answered by the other, and the answer says why."""
    async with make_rig() as rig:
        rig.vllm.default = fault
        answer = await rig.client.chat(ask())

    assert answer.text == "Salut d'Ollama"
    assert answer.provenance.provider == "ollama"
    assert answer.provenance.fallback_reason == reason


async def test_refused_connection_falls_back_and_opens_the_breaker(make_rig: MakeRig) -> None:
    """One refused connection is enough; the next request does not even try."""
    async with make_rig(vllm_port=free_port()) as rig:
        first = await rig.client.chat(ask())
        second = await rig.client.chat(ask())

    assert first.provenance.fallback_reason == ErrorType.CONNECT
    assert second.provenance.fallback_reason == ErrorType.BREAKER_OPEN
    assert [a.provider for a in second.provenance.attempts] == ["ollama"]


async def test_traffic_returns_by_itself(make_rig: MakeRig) -> None:
    """Once the engine generates again the breaker closes without any user's request."""
    port = free_port()
    async with make_rig(vllm_port=port) as rig:
        await rig.client.chat(ask())
        assert rig.links["vllm"].breaker.is_open
        async with serving(rig.vllm.app(), port=port), asyncio.timeout(30):
            while rig.links["vllm"].breaker.is_open:
                await asyncio.sleep(0.01)
            answer = await rig.client.chat(ask())

    assert answer.provenance.provider == "vllm"


async def test_hang_leaves_time_for_the_fallback(make_rig: MakeRig) -> None:
    """A silent engine gets a part of the deadline only."""
    async with make_rig() as rig:
        rig.vllm.default = Fault.HANG
        answer = await rig.client.chat(ask(deadline_s=4.0))

    assert answer.provenance.provider == "ollama"
    assert answer.duration_s < 4.0  # of the request's own clock: it was answered within its deadline


@pytest.mark.parametrize("fault", [Fault.BAD_REQUEST_400, Fault.TOO_LONG_400])
async def test_caller_error_never_falls_back(make_rig: MakeRig, fault: Fault) -> None:
    """A bad request is answered at once and blames nobody."""
    async with make_rig() as rig:
        rig.vllm.default = fault
        for _ in range(5):
            with pytest.raises(CallerError) as caught:
                await rig.client.chat(ask())

    assert isinstance(caught.value, ContextTooLong) == (fault is Fault.TOO_LONG_400)
    assert not rig.ollama.bodies
    assert not rig.links["vllm"].breaker.is_open


async def test_long_prompt_is_never_cut_in_silence(make_rig: MakeRig) -> None:
    """A prompt that may not fit Ollama's window is not sent there, even when vLLM is gone."""
    long = (Message(role=Role.USER, content="word " * 2000),)
    async with make_rig(vllm_port=free_port()) as rig:
        with pytest.raises(LLMError, match="in silence"):
            await rig.client.chat(ask(messages=long))

    assert not rig.ollama.bodies


async def test_long_prompt_is_counted_before_it_is_refused(make_rig: MakeRig) -> None:
    """When vLLM says that the prompt fits, Ollama may have it."""
    long = (Message(role=Role.USER, content="word " * 2000),)
    async with make_rig() as rig:
        rig.vllm.token_count = 2000
        rig.vllm.default = Fault.BUSY_503
        answer = await rig.client.chat(ask(messages=long))

    assert answer.provenance.provider == "ollama"


async def test_everybody_fails(make_rig: MakeRig) -> None:
    """The error names each provider's reason and the shortest wait."""
    async with make_rig() as rig:
        rig.vllm.default, rig.ollama.default = Fault.BUSY_503, Fault.BUSY_503
        with pytest.raises(AllProvidersFailed) as caught:
            await rig.client.chat(ask())

    assert [c.provider for c in caught.value.causes] == ["vllm", "ollama"]
    assert caught.value.kind == "busy"
    assert caught.value.retry_after_s == 7.0


async def test_one_deadline_for_all_attempts(make_rig: MakeRig) -> None:
    """With both engines silent the request ends at its own deadline, after one attempt each."""
    async with make_rig() as rig:
        rig.vllm.default = rig.ollama.default = Fault.HANG
        with pytest.raises(DeadlineExceeded):
            await rig.client.chat(ask(deadline_s=2.0))

    assert (len(rig.vllm.bodies), len(rig.ollama.bodies)) == (1, 1)


async def test_single_provider_raises_its_own_error(make_rig: MakeRig) -> None:
    """Where the chain is one provider long its error comes out unwrapped."""
    async with make_rig(pin="ollama") as rig:
        rig.ollama.default = Fault.BUSY_503
        with pytest.raises(BusyError):
            await rig.client.chat(ask())


async def test_no_hidden_retry(make_rig: MakeRig) -> None:
    """Each engine sees each request once."""
    async with make_rig() as rig:
        rig.vllm.default = rig.ollama.default = Fault.BROKEN_500
        with pytest.raises(AllProvidersFailed):
            await rig.client.chat(ask())

    assert (len(rig.vllm.bodies), len(rig.ollama.bodies)) == (1, 1)


async def test_last_provider_is_always_tried(make_rig: MakeRig) -> None:
    """An open breaker on the only provider costs nothing to try."""
    async with make_rig(pin="ollama") as rig:
        rig.ollama.default = Fault.BROKEN_500
        for _ in range(4):
            with pytest.raises(LLMError):
                await rig.client.chat(ask())
        assert rig.links["ollama"].breaker.is_open
        rig.ollama.default = Fault.OK
        answer = await rig.client.chat(ask())

    assert answer.provenance.provider == "ollama"


async def test_overload_is_shed(make_rig: MakeRig) -> None:
    """Beyond the slots and the queue a request goes to the next provider, without an attempt being counted."""
    async with make_rig(max_in_flight=1, max_queued=1) as rig:
        rig.vllm.default = Fault.HANG
        held = [asyncio.create_task(rig.client.chat(ask(deadline_s=30))) for _ in range(2)]
        while not (rig.links["vllm"].limit.in_flight and rig.links["vllm"].limit.queued):
            await asyncio.sleep(0.005)
        answer = await rig.client.chat(ask())
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    assert answer.provenance.fallback_reason == ErrorType.SHED
    assert [a.provider for a in answer.provenance.attempts] == ["ollama"]


async def test_cancellation_reaches_the_engine(make_rig: MakeRig) -> None:
    """A leaving caller frees the engine and nothing new is started."""
    async with make_rig() as rig:
        rig.vllm.default = Fault.HANG
        task = asyncio.create_task(rig.client.chat(ask(deadline_s=30)))
        while not rig.vllm.bodies:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            while rig.vllm.running:
                await asyncio.sleep(0.005)

    assert rig.vllm.left_early == 1
    assert not rig.ollama.bodies
    assert [e.result for e in rig.events] == ["cancelled"]
    assert not rig.links["vllm"].breaker.is_open


async def test_attempts_metric_equals_what_the_engines_saw(make_rig: MakeRig) -> None:
    """Requests and attempts are counted apart, and truthfully."""
    async with make_rig() as rig:
        rig.vllm.faults.extend([Fault.OK, Fault.BUSY_503, Fault.OK])
        for _ in range(3):
            await rig.client.chat(ask())
        count = rig.registry.get_sample_value
        labels = {"service": "notes", "provider": "vllm", "attempt": "first"}

        assert count("llm_attempts_total", {**labels, "error_type": "none"}) == 2
        assert count("llm_attempts_total", {**labels, "error_type": "http_5xx"}) == 1
        assert (
            count(
                "llm_requests_total", {"service": "notes", "provider": "ollama", "operation": "chat", "outcome": "ok"}
            )
            == 1
        )
        moved = {"service": "notes", "from": "vllm", "to": "ollama", "reason": "http_5xx", "attempt": "first"}
        assert count("llm_fallbacks_total", moved) == 1
    assert rig.client.status()["fallbacks_5m"] == 1


async def test_ready_needs_a_generating_provider(make_rig: MakeRig) -> None:
    """Ready means that somebody of the chain has generated a token."""
    async with make_rig() as rig:
        rig.vllm.default = rig.ollama.default = Fault.BROKEN_500
        assert "EngineCore" in (await rig.client.ready() or "")
        rig.ollama.default = Fault.OK
        assert await rig.client.ready() is None
