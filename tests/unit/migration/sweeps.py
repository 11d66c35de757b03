"""Raw sweeps made up from a rule: what each engine does with so many users. No engine, no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.migration import sweep_records
from services.migration.records import Engine
from services.migration.sweep_records import Block, Contender, Plan, Raw, Request, Turn

ENGINES = {
    "vllm": Contender(name="vllm", described=Engine(engine="vllm", version="0.32.0", model="m", quantization="F16")),
    **{
        f"ollama-{n}": Contender(
            name=f"ollama-{n}", parallel=n,
            described=Engine(engine="ollama", version="0.9.3", model="m:latest", quantization="F16"),
        )
        for n in (1, 2, 4)
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Seconds of an answer of a contender with so many users, and who is said to have given it."""

    seconds: Callable[[str, int], float]
    served_by: Callable[[str], str] = lambda name: ENGINES[name].engine
    tokens: int = 10


def serial(one_s: float, slots: int) -> Callable[[int], float]:
    """An engine that answers `slots` at once, each no faster for it: others wait their turn."""
    return lambda users: one_s * max(1, users / slots)


def plan(
    *, rounds: int = 12, users: tuple[int, ...] = (1, 2, 4, 8), contenders: tuple[str, ...] = ("vllm", "ollama-1"),
    stream: bool = True,
) -> Plan:  # fmt: skip
    return Plan(
        id="x", created="2026-11-21T05:00:00+00:00", service="rag", seed=1, rounds=rounds, users=users, block_s=10,
        waves=2, lost_s=130, stream=stream, recipe_sha256="r", contenders=tuple(ENGINES[c] for c in contenders),
        schedule=sweep_records.schedule(seed=1, rounds=rounds, contenders=contenders, users=users), machine="made up",
    )  # fmt: skip


def block(found: Plan, turn: Turn, rule: Rule) -> Block:
    """Two waves of the turn's users; rounds differ by up to 3 % up and down, as a quiet machine's do."""
    seconds = rule.seconds(turn.contender, turn.users) * (0.97 + 0.02 * (turn.round % 4))
    rows = [
        Request(
            item="i", sent_s=wave * seconds, end_s=(wave + 1) * seconds,
            first_token_s=wave * seconds + seconds / 4 if found.stream else None,
            served_by=rule.served_by(turn.contender), output_tokens=rule.tokens, status=200,
        )
        for wave in range(2)
        for _ in range(turn.users)
    ]  # fmt: skip
    return Block(turn=turn, load1=0.5, requests=tuple(rows), idle_bytes=100, peak_bytes=200)


def raw(found: Plan, rule: Rule, *, blocks: int | None = None) -> Raw:
    """The raw file of a sweep by this rule, cut after so many blocks."""
    made = tuple(block(found, turn, rule) for turn in found.schedule[:blocks])
    return Raw(plan=found, blocks=made, notes=(), sha256="s", name="raw.jsonl")
