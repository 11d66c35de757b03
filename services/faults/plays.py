"""The faults that take more than one request, or a caller who leaves: what is done, in which order."""

from __future__ import annotations

import asyncio
import contextlib

from services.faults.expectations import BY_ANYBODY, BY_FALLBACK, BY_PRIMARY, SERVED_OR_TOLD
from services.faults.judge import Ended, Flaw
from services.faults.script import OK, Until
from services.faults.stage import Stage

BACK_S = 3.0
CLOSED_S = 0.5
AFTERWARDS_S = 0.3
LEAVES_AFTER_S = 0.15
CROWD = 12
WARMING = 4
OFFERED = 120
TOLD_S = 0.05
"""Seconds within which at least half of those who find no room must know."""


async def accounted(stage: Stage) -> None:
    """The answer says who gave it."""
    observed = await stage.ask()
    stage.require(bool(observed.provider), Flaw.CONDUCT, "the answer does not say who gave it")


async def unmasked(stage: Stage) -> None:
    """What broke is told, not the refusal that an attempt to continue met with."""
    observed = await stage.ask()
    stage.require("prefill" not in observed.detail, Flaw.CONDUCT, f"the refusal hides what broke: {observed.detail}")


async def leave(stage: Stage) -> None:
    """The caller goes away in the middle; the upstream is told, and nobody else is asked."""
    asking = asyncio.ensure_future(stage.ask())
    reached = await stage.until(lambda: stage.primary.seen.hits > 0, stage.draw.deadline_s)
    stage.require(reached, Flaw.CONDUCT, "the primary was not asked")
    await asyncio.sleep(LEAVES_AFTER_S)
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking
    told = await stage.until(lambda: stage.primary.seen.left > 0, CLOSED_S)
    stage.require(told, Flaw.NOT_CLOSED, f"{CLOSED_S:g} s after the caller had left the upstream still worked for it")
    await asyncio.sleep(AFTERWARDS_S)


async def flap(stage: Stage) -> None:
    """Down for a while, then healthy: everybody is answered, and traffic comes back."""
    for _ in range(4):
        await stage.ask(BY_FALLBACK)
    stage.primary.script = OK
    await _back_on_primary(stage)


async def loading(stage: Stage) -> None:
    """Nobody listens while the weights load; later somebody does."""
    await stage.ask(BY_FALLBACK)
    await stage.ask(BY_FALLBACK)
    await stage.primary.come()
    await _back_on_primary(stage)


async def killed(stage: Stage) -> None:
    """It answers, dies with its kept connections, and is started again."""
    await stage.ask(BY_PRIMARY)
    await stage.primary.die()
    for _ in range(3):
        await stage.ask(BY_FALLBACK)
    await stage.primary.come()
    await _back_on_primary(stage)


async def killed_under_load(stage: Stage) -> None:
    """It dies with a crowd of requests in flight, none of which may be lost."""
    crowd = [asyncio.ensure_future(stage.ask(BY_FALLBACK)) for _ in range(CROWD)]
    await stage.until(lambda: stage.primary.seen.hits >= CROWD, stage.draw.first_token_s / 2)
    await stage.primary.die()
    await asyncio.gather(*crowd)


async def stale(stage: Stage) -> None:
    """The kept connection is closed just when the next request arrives on it."""
    await stage.ask(BY_PRIMARY)
    await stage.ask(BY_ANYBODY)


async def black_hole(stage: Stage) -> None:
    """An engine that refuses fast looks idle, and must not attract more than its share."""
    await asyncio.gather(*(stage.ask(BY_FALLBACK) for _ in range(CROWD)))


async def open_breaker(stage: Stage) -> None:
    """Once it is known to be ill no request pays for it any more."""
    for _ in range(5):
        await stage.ask(BY_FALLBACK)
    before = stage.primary.seen.hits
    for _ in range(5):
        await stage.ask(BY_FALLBACK)
    paid = stage.primary.seen.hits - before
    stage.require(paid == 0, Flaw.CONDUCT, f"{paid} of 5 requests still went to the engine known to be ill")


async def stampede(stage: Stage) -> None:
    """A dead engine listens again but does not generate yet: a crowd must not be let loose on it."""
    primary = stage.primary
    await stage.ask(BY_FALLBACK)
    primary.script = (Until(), *OK)
    await primary.come()
    await stage.until(lambda: primary.seen.probes > 0, 1.0)
    await asyncio.gather(*(stage.ask(BY_FALLBACK) for _ in range(CROWD)))
    hits, probes = primary.seen.hits, primary.seen.most_probes
    stage.require(hits == 0, Flaw.CONDUCT, f"{hits} requests reached it before it generated")
    stage.require(probes <= 1, Flaw.CONDUCT, f"{probes} probes at a time")
    primary.generates.set()
    await _back_on_primary(stage)


async def overload(stage: Stage) -> None:
    """vLLM is dead and a crowd that only vLLM could carry meets an engine that works on two requests at a time."""
    for _ in range(WARMING):
        await stage.ask(BY_FALLBACK)
    ended = await asyncio.gather(*(stage.ask(SERVED_OR_TOLD) for _ in range(OFFERED)))
    served = [o for o in ended if o.ended is Ended.ANSWER]
    told = [o for o in ended if o.ended is Ended.ERROR]
    stage.require(len(served) >= OFFERED // 10, Flaw.CONDUCT, f"only {len(served)} of {OFFERED} were served")
    stage.require(bool(told), Flaw.CONDUCT, "nobody was told to come back, so everybody waited")
    if told:
        at_once = sum(o.took_s <= TOLD_S for o in told)
        said = f"{at_once} of {len(told)} were told within {TOLD_S * 1000:g} ms"
        stage.require(2 * at_once >= len(told), Flaw.CONDUCT, f"only {said}")
        when = sum(o.retry_after_s is not None for o in told)
        stage.require(when == len(told), Flaw.CONDUCT, f"only {when} of {len(told)} were told when to come back")


async def _back_on_primary(stage: Stage) -> None:
    """Ask until the primary answers. Who answers meanwhile does not matter, that somebody does, does."""
    end = asyncio.get_running_loop().time() + BACK_S
    while asyncio.get_running_loop().time() < end:
        before = stage.primary.seen.hits
        observed = await stage.ask(BY_ANYBODY)
        if stage.primary.seen.hits > before and observed.ended is Ended.ANSWER:
            return
        await asyncio.sleep(0.05)
    stage.require(False, Flaw.CONDUCT, f"not back on the primary {BACK_S:g} s after it generates again")
