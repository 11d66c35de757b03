"""When the parts of one answer came, and what two schools make of them: ours, and `vllm bench serve`'s. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MIN_TOKENS = 8
"""A shorter answer divides by so little that its time per token is noise."""


class AgreementError(Exception):
    """A client could not measure. The message says which one, and what it said."""


class Client(enum.StrEnum):
    """Who measures. `AGAIN` is the asyncio client once more: what it differs by from itself is the noise floor."""

    ASYNCIO = "asyncio"
    AGAIN = "asyncio again"
    LOCUST = "locust"
    VLLM = "vllm bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """One whole answer, in seconds since it was asked for. A chunk is any frame with `choices`, a token one with text.

    `end_s` is when the stream was over; None where the client does not tell.
    """

    first_chunk_s: float
    first_token_s: float
    last_token_s: float
    last_chunk_s: float
    tokens: int
    end_s: float | None = None


Measure = Callable[[Marks], float | None]


def _per_token(marks: Marks, first: float, last: float) -> float | None:
    return (last - first) / (marks.tokens - 1) if marks.tokens >= MIN_TOKENS else None


OURS: Mapping[str, Measure] = {
    "ttft": lambda m: m.first_token_s,
    "tpot": lambda m: _per_token(m, m.first_token_s, m.last_token_s),
    "e2e": lambda m: m.end_s,
}
"""First token with text; (last token - first token) / (n - 1); to the end of the stream. n is the engine's count."""

THEIRS: Mapping[str, Measure] = {
    "ttft": lambda m: m.first_chunk_s,
    "tpot": lambda m: _per_token(m, m.first_chunk_s, m.last_chunk_s),
    "e2e": lambda m: m.last_chunk_s,
}
"""As in vllm/benchmarks/serve.py and lib/endpoint_request_func.py, 0.32: any frame with `choices` counts."""

DEFINITIONS: Mapping[str, tuple[str, str]] = {
    "ttft": ("the first token with text", "the first frame with choices, which holds the role and no token"),
    "tpot": ("(last token - first token) / (n - 1)", "(last frame - first frame) / (n - 1)"),
    "e2e": ("the end of the stream", "the last frame with choices, before usage and [DONE]"),
}
"""Ours, theirs."""


def as_reported(client: Client, metric: str) -> Measure:
    """What the client itself calls by this name."""
    return (THEIRS if client is Client.VLLM else OURS)[metric]
