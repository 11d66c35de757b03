"""The requests of a sweep as numbers per round: what was answered, how many tokens, how long each one waited. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.migration.sweep_records import Block, Contender, Plan, Raw, Request

RESAMPLES = 2000
LEVEL = 0.95
"""Of each bound, one-sided."""

INSTANT_S = 1e-6
"""Records keep microseconds; no block is shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One contender at one level, a value or a row of values for each round. Times and spans in seconds."""

    users: int
    requests: tuple[int, ...]
    answered: tuple[int, ...]
    tokens: tuple[int, ...]
    spans: tuple[float, ...]
    ttft: tuple[tuple[float, ...], ...]
    e2e: tuple[tuple[float, ...], ...]


def rounds_done(raw: Raw) -> tuple[int, ...]:
    """The rounds of which every block is on disk and brought something."""
    turns: dict[int, int] = {}
    for turn in raw.plan.schedule:
        turns[turn.round] = turns.get(turn.round, 0) + 1
    for block in raw.blocks:
        if block.requests:
            turns[block.turn.round] -= 1
    return tuple(number for number, missing in sorted(turns.items()) if missing == 0)


def of_level(raw: Raw, contender: Contender, users: int, done: Sequence[int]) -> Series:
    """The rounds `done` of a contender at a level."""
    found = {b.turn.round: b for b in raw.blocks if b.turn.contender == contender.name and b.turn.users == users}
    blocks = [found[number] for number in done]
    own = [[r for r in b.requests if answered(r, contender)] for b in blocks]
    return Series(
        users=users, requests=tuple(len(b.requests) for b in blocks), answered=tuple(map(len, own)),
        tokens=tuple(sum(r.output_tokens or 0 for r in rows) for rows in own), spans=tuple(map(_span, blocks)),
        ttft=tuple(tuple(_ttft(r, contender, raw.plan) for r in b.requests) for b in blocks),
        e2e=tuple(tuple(_e2e(r, contender, raw.plan) for r in b.requests) for b in blocks),
    )  # fmt: skip


def answered(request: Request, contender: Contender) -> bool:
    """Whether the contender's engine answered itself: somebody else's answer is not this engine's."""
    return not request.error and request.served_by == contender.engine


def _span(block: Block) -> float:
    """From the first request to the last answer, the draining last wave included, for every contender alike."""
    first, last = min(r.sent_s for r in block.requests), max(r.end_s for r in block.requests)
    return max(last - first, INSTANT_S)


def _ttft(request: Request, contender: Contender, plan: Plan) -> float:
    if not answered(request, contender) or request.first_token_s is None:
        return plan.lost_s
    return request.first_token_s - request.sent_s


def _e2e(request: Request, contender: Contender, plan: Plan) -> float:
    return request.end_s - request.sent_s if answered(request, contender) else plan.lost_s
