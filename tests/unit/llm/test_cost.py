"""What answers cost: the price table, time shared by whoever is asked at once, and the metrics that show it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.llm.build import client_for
from services.llm.cost import Costs
from services.llm.errors import DeadError
from services.llm.hooks import Operation, RequestEvent, Result
from services.llm.prices import FILE, ListPrice, Price, PricesError, busy_s, load, per_million
from services.llm.types import Attempt, Usage
from services.settings import load as settings

TABLE = {
    "vllm": Price(what="a machine", source="a shop", date="2026-01-01", usd_per_hour=3.6),
    "anthropic": Price(what="a list", source="a page", date="2026-01-01", models={"m": ListPrice(input=1, output=5)}),
}
SPANS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 20)).map(lambda p: (float(p[0]), float(sum(p)))), max_size=12
)


def event(*attempts: Attempt, duration_s: float = 10.0) -> RequestEvent:
    return RequestEvent(
        request_id="r", service="rag", alias="m", operation=Operation.CHAT, stream=False, route="pin", chain=("vllm",),
        result=Result.OK, provider="vllm", fallback_reason=None, outcome=None, error_type="none", attempts=attempts,
        skipped=(), usage=Usage(), queued_s=0.0, duration_s=duration_s, first_token_s=None,
    )  # fmt: skip


def attempt(provider: str, started_s: float, duration_s: float, **more: object) -> Attempt:
    fields: dict[str, object] = {"model": "m", "error": None, **more}
    return Attempt(provider=provider, started_s=started_s, duration_s=duration_s, **fields)  # type: ignore[arg-type]


class Counted:
    """A registry with `Costs` at a clock that stands at 100 s."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        models = {"vllm": "m", "ollama": "m", "anthropic": "m"}
        self.costs = Costs(self.registry, service="rag", models=models, prices=TABLE, clock=lambda: 100.0)

    def usd(self, provider: str, kind: str) -> float | None:
        labels = {"service": "rag", "provider": provider, "kind": kind}
        return self.registry.get_sample_value("llm_cost_usd_total", labels)

    def seconds(self, provider: str) -> float | None:
        labels = {"service": "rag", "provider": provider}
        return self.registry.get_sample_value("llm_engine_busy_seconds_total", labels)

    def price(self, provider: str, per: str) -> float | None:
        labels = {"service": "rag", "provider": provider, "per": per}
        return self.registry.get_sample_value("llm_price_usd", labels)


def test_our_table_has_a_price_with_source_and_date_for_each_provider() -> None:
    table = load()

    assert set(table) == {"ollama", "vllm", "remote", "anthropic"}
    assert all(p.source and p.date and (p.usd_per_hour or p.models) for p in table.values())


def test_power_is_part_of_an_hour(tmp_path: Path) -> None:
    """400 W at 0.25 USD a kilowatt hour beside what the machine itself costs."""
    file = tmp_path / "own.toml"
    file.write_text('[vllm]\nwhat="x"\nsource="y"\ndate=2026-01-01\nusd_per_hour=0.1\nwatts=400\nusd_per_kwh=0.25\n')

    assert load(file)["vllm"].usd_per_hour == pytest.approx(0.2)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        '[vllm]\nwhat="x"\nsource="y"\nusd_per_hour=1\n',
        '[vllm]\nwhat="x"\nsource="y"\ndate=2026-01-01\n',
        '[vllm]\nwhat="x"\nsource="y"\ndate="soon"\nusd_per_hour=1\n',
        '[vllm]\nwhat="x"\nsource="y"\ndate=2026-01-01\nusd_per_hour=-1\n',
        '[anthropic]\nwhat="x"\nsource="y"\ndate=2026-01-01\nmodels={m={input=1}}\n',
        "vllm = 3\n",
    ],
)
def test_a_table_that_cannot_be_used_says_where(text: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)

    with pytest.raises(PricesError, match=r"own\.toml"):
        load(file)


@given(SPANS)
def test_time_is_counted_once_however_many_were_at_work(spans: list[tuple[float, float]]) -> None:
    """Against counting each half second by itself; in any order."""
    halves = [n / 2 + 0.25 for n in range(160)]
    by_hand = sum(any(a <= half < b for a, b in spans) for half in halves) / 2

    assert busy_s(spans) == pytest.approx(by_hand)
    assert busy_s(reversed(spans)) == pytest.approx(by_hand)


def test_an_engine_costs_the_time_that_it_was_at_work() -> None:
    """Ten seconds shared by two requests are ten seconds; 3.6 USD an hour are 0.01 for them. Failing costs as well."""
    counted = Counted()
    counted.costs.observe(event(attempt("vllm", 0.0, 10.0)))
    counted.costs.observe(event(attempt("vllm", 2.0, 5.0, error=DeadError("x", provider="vllm"))))

    assert counted.seconds("vllm") == pytest.approx(10.0)
    assert counted.usd("vllm", "engine_time") == pytest.approx(0.01)


def test_a_paid_provider_costs_its_tokens() -> None:
    counted = Counted()
    used = Usage(prompt_tokens=100_000, completion_tokens=10_000)
    counted.costs.observe(event(attempt("anthropic", 0.0, 1.0, usage=used)))

    assert counted.usd("anthropic", "tokens") == pytest.approx(0.15)
    assert counted.usd("anthropic", "engine_time") == 0


def test_a_missing_price_shows_as_missing() -> None:
    """Not as zero in the prices; what is known is there from the start."""
    counted = Counted()

    assert counted.price("ollama", "hour") is None
    assert counted.price("vllm", "hour") == 3.6
    assert (counted.price("anthropic", "million_input_tokens"), counted.usd("vllm", "tokens")) == (1, 0)


def test_a_million_tokens_of_none_cost_nothing_known() -> None:
    assert per_million(1.0, 0) is None
    assert per_million(0.5, 250_000) == 2.0


def test_a_service_takes_the_table_that_it_is_told_to(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(FILE.read_text(encoding="utf-8").replace("usd_per_hour = 0.39", "usd_per_hour = 7.0"))
    registry = CollectorRegistry()
    client_for(settings({"CUTOVER_HOME": str(tmp_path), "LLM_PRICES": str(file)}), "ner", registry)
    labels = {"service": "ner", "provider": "vllm", "per": "hour"}

    assert registry.get_sample_value("llm_price_usd", labels) == 7.0
