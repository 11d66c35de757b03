"""The recorder's bounds that a served app does not show: a full queue, chance, the traffic's sums, tickets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.recording.recorder import MAX_WAITING, Recorder
from services.recording.session import Session, Taken
from services.recording.ticket import Ticket, TicketError, dump, parse, requests_path
from services.recording.traffic import Traffic

NOW = datetime(2026, 8, 22, 12, 0, tzinfo=UTC)


def ticket(**changed: object) -> Ticket:
    fields: dict[str, object] = {
        "id": "t-1", "service": "notes", "by": "ada", "at": NOW.isoformat(),
        "until": (NOW + timedelta(minutes=10)).isoformat(), "requests": 5,
    }  # fmt: skip
    return Ticket(**{**fields, **changed})  # type: ignore[arg-type]


def recorder(folder: Path, *, chance: float = 0.0) -> tuple[Recorder, CollectorRegistry]:
    registry = CollectorRegistry()
    made = Recorder(
        service="notes", path="/v1/x", state_dir=folder, may_record=True, registry=registry, chance=lambda: chance
    )
    return made, registry


def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path: Path) -> None:
    """Nobody takes anything out here, and `offer` returns all the same."""
    made, registry = recorder(tmp_path)
    for _ in range(MAX_WAITING + 3):
        made.offer(b"{}")

    assert registry.get_sample_value("recording_requests_total", {"service": "notes", "outcome": "dropped"}) == 3


@pytest.mark.parametrize(("chance", "kept"), [(0.24, 1000), (0.25, 0), (0.9, 0)])
def test_a_share_of_the_requests_is_drawn(tmp_path: Path, chance: float, kept: int) -> None:
    """Of one that is not drawn not a byte is kept."""
    made, _ = recorder(tmp_path, chance=chance)
    made._session = Session(ticket(share=0.25, body_bytes=1000), tmp_path, now=NOW, started_s=0)

    assert made.body_bytes() == kept


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b'"text"', b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000])
def test_a_body_that_cannot_be_redacted_is_not_recorded(tmp_path: Path, body: bytes) -> None:
    session = Session(ticket(), tmp_path, now=NOW, started_s=0)

    assert session.take(body) is Taken.UNREADABLE
    assert requests_path(tmp_path, "notes", "t-1").read_bytes() == b""


def test_a_second_process_does_not_write_into_the_same_file(tmp_path: Path) -> None:
    """Several workers of one service would each record as much as was asked for."""
    first = Session(ticket(), tmp_path, now=NOW, started_s=0)
    with pytest.raises(BlockingIOError):
        Session(ticket(), tmp_path, now=NOW, started_s=0)

    first.close(1, "stopped")


def test_a_clock_that_jumps_does_not_prolong_it(tmp_path: Path) -> None:
    """Once begun, only the monotonic clock counts; a ticket for years counts as one for a day."""
    short = Session(ticket(), tmp_path, now=NOW, started_s=100)
    long = Session(ticket(id="t-2", until="2036-01-01T00:00:00+00:00"), tmp_path, now=NOW, started_s=100)

    assert (short.over(699), short.over(701)) == ("", "the time is up")
    assert (long.over(100 + 86_000), long.over(100 + 87_000)) == ("", "the time is up")


def test_traffic_is_counted_with_what_is_in_flight() -> None:
    """Two requests of 4 and 2 seconds in ten seconds are 0.6 at a time."""
    traffic = Traffic(0)
    for now, act in ((1, traffic.came), (2, traffic.came), (4, traffic.went), (5, traffic.went)):
        act(now)
    reading = traffic.reading(10)

    assert (reading.seen, reading.peak_in_flight, reading.mean_in_flight) == (2, 2, pytest.approx(0.6))


def test_a_ticket_is_read_as_it_was_written() -> None:
    asked = ticket(patterns=("a", "b"), share=0.5)

    assert parse(dump(asked), where="x") == asked


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "../../etc"}, {"id": ""}, {"until": "2026-08-22T12:00:00"}, {"until": "soon"}, {"requests": 0},
        {"requests": 10**9}, {"share": 0.0}, {"share": 1.1}, {"body_bytes": 10**9}, {"total_bytes": 10**12},
    ],
)  # fmt: skip
def test_a_ticket_beyond_its_bounds_is_none(changed: dict[str, object]) -> None:
    """Neither made nor read: no file outside of the folder, no recording without an end."""
    with pytest.raises(ValueError):
        ticket(**changed)
    good = ticket()
    for name, value in changed.items():
        old = getattr(good, name)
        text = dump(good).replace(f'"{name}": "{old}"', f'"{name}": "{value}"')
        text = text.replace(f'"{name}": {old}', f'"{name}": {value}')
        with pytest.raises(TicketError):
            parse(text, where="x")
