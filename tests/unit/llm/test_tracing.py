"""W3C trace context: what is understood, what is refused, and who decides that a request is traced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm.tracing import Sampling, begin, parse

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{SPAN}-01"


def test_a_callers_header_is_understood() -> None:
    found = parse(SENT)

    assert found is not None
    assert (found.trace_id, found.span_id, found.sampled) == (TRACE, SPAN, True)
    assert found.traceparent == SENT


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        SENT.upper(),
        SENT + "-more",
        SENT[:-1],
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        SENT + "\n",
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 600,
    ],
)
def test_a_header_that_breaks_the_rules_starts_a_trace_of_its_own(header: str) -> None:
    assert parse(header) is None
    assert begin(header, Sampling()).parent_id == ""


def test_a_later_version_may_say_more() -> None:
    """The four known fields are read, the others are left."""
    assert parse(f"cc-{TRACE}-{SPAN}-01-what-will-be") is not None


@given(st.text(max_size=80))
def test_nothing_that_is_sent_breaks_it(header: str) -> None:
    found = parse(header)

    assert found is None or found.trace_id in header


def test_a_request_is_a_child_of_its_caller_and_attempts_are_children_of_it() -> None:
    request = begin(SENT, Sampling())
    attempt = request.child()

    assert (request.trace_id, request.parent_id) == (TRACE, SPAN)
    assert (attempt.trace_id, attempt.parent_id) == (TRACE, request.span_id)
    assert len({SPAN, request.span_id, attempt.span_id}) == 3


@pytest.mark.parametrize("flags", ["00", "01"])
def test_the_caller_decides_unless_told_otherwise(flags: str) -> None:
    """A trace is whole or not there; what the caller drew is passed on to the engine."""
    header = f"00-{TRACE}-{SPAN}-{flags}"

    assert begin(header, Sampling(ratio=0.5)).traceparent.endswith(flags)
    assert begin(header, Sampling(ratio=0.0, parent_based=False)).sampled is False
    assert begin(header, Sampling(ratio=1.0, parent_based=False)).sampled is True


def test_the_share_is_kept_and_the_same_for_every_service_of_a_trace() -> None:
    drawn = [begin("", Sampling(ratio=0.25)) for _ in range(2000)]
    kept = sum(context.sampled for context in drawn)

    assert 350 < kept < 650
    again = [begin(c.traceparent, Sampling(ratio=0.25, parent_based=False)).sampled for c in drawn]
    assert again == [c.sampled for c in drawn]
