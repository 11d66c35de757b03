"""A provider behind its meter: what each end of an attempt costs, and what is never sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.llm import link
from services.llm.budget import Budget
from services.llm.chain import TokenCounter
from services.llm.errors import (
    BudgetError,
    BusyError,
    CallerError,
    ConfigError,
    DeadError,
    ErrorType,
    LLMError,
    from_status,
)
from services.llm.metered import PROBE_EVERY_S, PROBE_SERVICE, Metered, bound
from services.llm.types import ChatRequest, Chunk, Completion, Finish, Sampling, Usage
from tests.unit.llm.conftest import ask

USED = Usage(prompt_tokens=25, completion_tokens=4)
REQUEST = ask(sampling=Sampling(max_tokens=8))
WHOLE = (
    Chunk(usage=Usage(prompt_tokens=25)),
    Chunk(text="a"),
    Chunk(finish=Finish.STOP, usage=USED),
)


@dataclass
class Far:
    """A provider outside that does what the test says."""

    name: str = "anthropic"
    engine: str = "anthropic"
    cold_start_s: float = 3.0
    refuses_long_prompts: bool = True
    ends: deque[Completion | LLMError] = field(default_factory=deque)
    chunks: tuple[Chunk | LLMError, ...] = WHOLE
    sent: int = 0
    looks: int = 0
    missing: LLMError | None = None
    closed: bool = False

    def model(self, alias: str) -> str:
        return f"far-{alias}"

    def window(self, alias: str) -> int:
        return 100

    def refusal(self, request: ChatRequest) -> str | None:
        return "no"

    def dropped(self, request: ChatRequest) -> tuple[str, ...]:
        return ("seed",)

    async def chat(self, request: ChatRequest) -> Completion:
        self.sent += 1
        if not self.ends:
            await asyncio.sleep(3600)
        end = self.ends.popleft()
        if isinstance(end, LLMError):
            raise end
        return end

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.sent += 1
        for chunk in self.chunks:
            if isinstance(chunk, LLMError):
                raise chunk
            yield chunk

    async def reachable(self, alias: str) -> None:
        self.looks += 1
        if self.missing:
            raise self.missing

    async def aclose(self) -> None:
        self.closed = True


class Meter:
    """A metered far provider with a budget of 10,000 tokens, and a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.far = Far()
        self.budget = Budget(folder / "spent-notes.json", per_day=10_000, provider="anthropic")
        self.counted: list[int] = []
        self.now = 0.0
        self.provider = Metered(self.far, on_spent=self.counted.append, budget=self.budget, clock=lambda: self.now)

    async def read(self) -> list[Chunk]:
        async with contextlib.aclosing(self.provider.stream(REQUEST)) as chunks:
            return [chunk async for chunk in chunks]


@pytest.fixture
def meter(tmp_path: Path) -> Meter:
    return Meter(tmp_path)


async def test_an_answer_costs_what_the_server_says(meter: Meter) -> None:
    """Whole or streamed, in and out; the counter and the budget agree."""
    meter.far.ends.append(Completion(text="a", finish=Finish.STOP, usage=USED))
    await meter.provider.chat(REQUEST)
    assert tuple(await meter.read()) == WHOLE

    assert meter.counted == [29, 29]
    assert meter.budget.spent() == 58


async def test_an_answer_without_a_count_costs_all_it_could(meter: Meter) -> None:
    """What is not known counts as spent."""
    meter.far.ends.append(Completion(text="a", finish=Finish.STOP))
    await meter.provider.chat(REQUEST)

    assert meter.counted == [bound(REQUEST)]


@pytest.mark.parametrize(
    "error",
    [
        from_status(400, "no", provider="anthropic"),
        from_status(401, "no", provider="anthropic"),
        from_status(429, "no", provider="anthropic"),
        from_status(500, "no", provider="anthropic"),
        CallerError("no"),
        ConfigError("no"),
        BusyError("no"),
        DeadError("refused", type=ErrorType.CONNECT),
        DeadError("slow", type=ErrorType.TIMEOUT_CONNECT),
    ],
    ids=str,
)
async def test_what_was_answered_with_an_error_costs_nothing(meter: Meter, error: LLMError) -> None:
    """Or was never sent. The error passes unchanged."""
    meter.far.ends.append(error)
    meter.far.chunks = (error,)
    for attempt in (meter.provider.chat(REQUEST), meter.read()):
        with pytest.raises(LLMError) as caught:
            await attempt
        assert caught.value is error

    assert meter.counted == [0, 0]
    assert meter.budget.spent() == 0


@pytest.mark.parametrize("type", [ErrorType.CUT, ErrorType.BAD_RESPONSE])
async def test_what_broke_on_the_way_costs_all_it_could(meter: Meter, type: ErrorType) -> None:
    """The server may have worked for it."""
    meter.far.ends.append(DeadError("cut", type=type))
    with pytest.raises(DeadError):
        await meter.provider.chat(REQUEST)

    assert meter.counted == [bound(REQUEST)]


@pytest.mark.parametrize("error", [DeadError("cut", type=ErrorType.CUT), BusyError("overloaded"), CallerError("no")])
async def test_a_stream_that_broke_costs_its_prompt_and_its_limit(meter: Meter, error: LLMError) -> None:
    """The prompt's tokens are known from its first event; what was written until then is not."""
    meter.far.chunks = (*WHOLE[:2], error)
    with pytest.raises(LLMError):
        await meter.read()

    assert meter.counted == [25 + 8]


async def test_a_caller_that_leaves_pays_the_same(meter: Meter) -> None:
    """Of a stream; of a whole answer nothing is known, so all of it."""
    async with contextlib.aclosing(meter.provider.stream(REQUEST)) as chunks:
        async for chunk in chunks:
            if chunk.text:
                break
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await meter.provider.chat(REQUEST)

    assert meter.counted == [25 + 8, bound(REQUEST)]
    assert meter.budget.spent() == sum(meter.counted)


async def test_over_budget_nothing_is_sent(meter: Meter) -> None:
    """Not even a connection is opened; neither breaker nor limit hears of it."""
    meter.budget.reserve(10_000)
    for attempt in (meter.provider.chat(REQUEST), meter.read()):
        with pytest.raises(BudgetError) as caught:
            await attempt
        assert not isinstance(caught.value, (DeadError, BusyError))

    assert (meter.far.sent, meter.counted) == (0, [])


async def test_without_a_budget_only_the_counter_runs() -> None:
    """A rented vLLM costs by the hour, whoever asks it."""
    far, counted = Far(ends=deque([Completion(text="a", finish=Finish.STOP, usage=USED)])), list[int]()
    await Metered(far, on_spent=counted.append).chat(REQUEST)

    assert counted == [29]


async def test_a_probe_sends_no_prompt_and_costs_nothing(meter: Meter) -> None:
    """A link asks every second while its breaker is open; outside, one look a minute has to do."""
    probe = link._one_token("writer")
    assert probe.service == PROBE_SERVICE
    for _ in range(5):
        await meter.provider.chat(probe)
    meter.far.missing = ConfigError("key refused")
    await meter.provider.chat(probe)
    meter.now += PROBE_EVERY_S
    for _ in range(5):
        with pytest.raises(ConfigError, match="key refused"):
            await meter.provider.chat(probe)
    meter.far.missing = None
    meter.now += PROBE_EVERY_S
    await meter.provider.chat(probe)

    assert (meter.far.looks, meter.far.sent, meter.counted) == (3, 0, [])


async def test_a_probe_given_up_is_an_illness_until_the_next_look(meter: Meter) -> None:
    """A machine that is starting answers no probe in time; it is asked again a minute later, not every second."""

    async def never(alias: str) -> None:
        meter.far.looks += 1
        await asyncio.sleep(3600)

    meter.far.reachable = never  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await meter.provider.chat(link._one_token("writer"))
    with pytest.raises(DeadError, match="in time"):
        await meter.provider.chat(link._one_token("writer"))

    assert meter.far.looks == 1


async def test_it_stands_for_what_it_wraps_and_for_no_more(meter: Meter) -> None:
    """It neither counts tokens nor embeds: texts would leave this host without an answer to show for it."""
    provider = meter.provider
    told = (provider.name, provider.engine, provider.cold_start_s, provider.model("a"), provider.window("a"))
    assert told == ("anthropic", "anthropic", 3.0, "far-a", 100)
    assert (provider.refusal(REQUEST), provider.dropped(REQUEST), provider.refuses_long_prompts) == (
        "no",
        ("seed",),
        True,
    )
    assert not isinstance(provider, TokenCounter)
    assert not hasattr(provider, "embed")
    await provider.aclose()
    assert meter.far.closed
