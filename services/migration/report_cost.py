"""What a million tokens cost: tokens and times of a gate, which were measured, by prices, which are assumed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.llm.prices import HOUR_S, Price, Table, busy_s, per_million
from services.migration.records import Record, Run, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One engine at its measured pace, or one paid model for the same tokens. `busy_s` is None for a paid one.

    `per_million` counts tokens in and out alike, `per_million_output` only those that were written; both in USD.
    """

    who: str
    prompt_tokens: int
    output_tokens: int
    busy_s: float | None
    per_million: float | None
    per_million_output: float | None
    price: str


def costs(run: Run, prices: Table) -> tuple[Cost, ...]:
    """Both engines, then every paid model of the table. Without tokens or a price there is no row."""
    records = run.latest()
    local = [
        cost
        for side in (Side.BASELINE, Side.CANDIDATE)
        if (cost := _engine(side, [r for r in records if r.side is side], prices.get(side.provider)))
    ]
    return (*local, *_paid(local, prices)) if local else ()


def _engine(side: Side, records: Sequence[Record], price: Price | None) -> Cost | None:
    """Time counts for whoever was asked, failed requests included: the machine ran for them as well."""
    told = [r for r in records if r.answered and r.prompt_tokens is not None and r.output_tokens]
    prompt, output = sum(r.prompt_tokens or 0 for r in told), sum(r.output_tokens or 0 for r in told)
    if price is None or price.usd_per_hour is None or not output:
        return None
    busy = busy_s((r.sent_s, r.end_s) for r in records)
    usd = busy / HOUR_S * price.usd_per_hour
    return Cost(
        who=side.provider,
        prompt_tokens=prompt,
        output_tokens=output,
        busy_s=busy,
        per_million=per_million(usd, prompt + output),
        per_million_output=per_million(usd, output),
        price=f"{price.usd_per_hour:.2f} USD an hour for {price.what} ({price.source}, {price.date})",
    )


def _paid(local: Sequence[Cost], prices: Table) -> Iterator[Cost]:
    """The tokens of both engines by each list price: the same questions, asked elsewhere."""
    prompt, output = sum(c.prompt_tokens for c in local), sum(c.output_tokens for c in local)
    for provider, price in prices.items():
        for model, listed in price.models.items():
            usd = listed.of(prompt=prompt, output=output)
            yield Cost(
                who=f"{provider} {model}",
                prompt_tokens=prompt,
                output_tokens=output,
                busy_s=None,
                per_million=per_million(usd, prompt + output),
                per_million_output=per_million(usd, output),
                price=f"{listed.input:.2f} in, {listed.output:.2f} out by list ({price.source}, {price.date})",
            )
