"""The token bucket of each key, on a clock of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.web.keys import Key, digest
from services.web.limits import Buckets


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def key(name: str = "ana", *, rate: float | None = 2.0, burst: int = 3) -> Key:
    return Key(name=name, digest=digest(name), workspace="w", created_at="now", requests_per_s=rate, burst=burst)


def let_through(buckets: Buckets, who: Key, times: int) -> int:
    """How many of so many requests at once may go on."""
    found = [buckets.take(who) for _ in range(times)]
    return sum(taken is not None and taken.may_go_on for taken in found)


def test_a_burst_goes_through_and_then_the_rate() -> None:
    """Three at once, then two a second, and never more than three again after a long silence."""
    clock = Clock()
    buckets = Buckets(clock)

    assert let_through(buckets, key(), 10) == 3
    clock.now += 1
    assert let_through(buckets, key(), 10) == 2
    clock.now += 3600
    assert let_through(buckets, key(), 10) == 3


def test_keys_do_not_share_a_bucket() -> None:
    buckets = Buckets(Clock())

    assert (let_through(buckets, key("ana"), 5), let_through(buckets, key("bo"), 5)) == (3, 3)


def test_a_key_without_a_limit_is_not_counted() -> None:
    assert Buckets(Clock()).take(key(rate=None)) is None


def test_a_refused_request_is_told_when_to_come_back() -> None:
    """Then it goes through."""
    clock = Clock()
    buckets = Buckets(clock)
    let_through(buckets, key(rate=0.1), 3)
    refused = buckets.take(key(rate=0.1))
    assert refused is not None
    assert refused.headers() == {
        "RateLimit-Policy": '"key";q=3;w=30',
        "RateLimit": '"key";r=0;t=10',
        "Retry-After": "10",
    }

    clock.now += int(refused.headers()["Retry-After"])
    assert let_through(buckets, key(rate=0.1), 5) == 1


def test_who_may_go_on_is_told_what_is_left() -> None:
    taken = Buckets(Clock()).take(key())

    assert taken is not None
    assert taken.headers() == {"RateLimit-Policy": '"key";q=3;w=2', "RateLimit": '"key";r=2;t=0'}


@given(
    rate=st.floats(0.001, 1e6), burst=st.integers(1, 1000), waits=st.lists(st.floats(0, 100), min_size=1, max_size=60)
)
def test_never_more_than_the_burst_and_the_rate_allow(rate: float, burst: int, waits: list[float]) -> None:
    """Whatever the times between requests."""
    clock = Clock()
    buckets, who, through = Buckets(clock), key(rate=rate, burst=burst), 0
    for wait in waits:
        clock.now += wait
        through += let_through(buckets, who, 1)

    assert through <= burst + rate * sum(waits[1:]) + 1e-6 * len(waits)
