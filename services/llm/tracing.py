"""W3C trace context: what a caller said in `traceparent`, what is traced, and the ids of a request's spans. Pure.

The ids exist from the start, as the engine is told those of its attempt; spans are made of the request's one event when
it has ended (`tracing_otel`). So nothing of OpenTelemetry is needed here, and nothing of it is in a request's way.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
LONGEST = 512
"""Characters of a header worth reading; version 00 has 55."""
SAMPLED = 0x01
TRACE_ID_RANGE = 2**64
"""OpenTelemetry draws by the lower 8 bytes of a trace id, so that every service of a trace draws alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which requests are traced: `ratio` of those whose caller did not decide, of all where `parent_based` is off."""

    ratio: float = 1.0
    parent_based: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One span's place in its trace. Ids in hex; `parent_id` is empty for the first span of a trace."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """The header for whoever works on behalf of this span."""
        return f"00-{self.trace_id}-{self.span_id}-{SAMPLED if self.sampled else 0:02x}"

    def child(self) -> Context:
        """A span below this one."""
        return replace(self, span_id=_new_id(8), parent_id=self.span_id)


def parse(traceparent: str) -> Context | None:
    """The caller's span; None for a header that breaks the rules, which starts a trace of its own.

    A later version may have more fields behind the four that are known; version ff and ids of zeros are not allowed.
    """
    found = _FORM.fullmatch(traceparent) if len(traceparent) <= LONGEST else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Context(trace_id=trace_id, span_id=span_id, sampled=bool(int(flags, 16) & SAMPLED))


def begin(traceparent: str, sampling: Sampling) -> Context:
    """The span of a request whose caller sent `traceparent`, or an empty text."""
    caller = parse(traceparent)
    if caller is not None and sampling.parent_based:
        return caller.child()
    trace_id = caller.trace_id if caller is not None else _new_id(16)
    sampled = int(trace_id[16:], 16) < sampling.ratio * TRACE_ID_RANGE
    parent_id = caller.span_id if caller is not None else ""
    return Context(trace_id=trace_id, span_id=_new_id(8), parent_id=parent_id, sampled=sampled)


def _new_id(size: int) -> str:
    """Never all zeros, which would be no id."""
    return f"{secrets.randbits(8 * size) or 1:0{2 * size}x}"
