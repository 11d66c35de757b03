"""Board F: tokens, and what they cost by the price table."""

from __future__ import annotations

from services.monitor.panels import RANGE, WINDOW, Board, Kind, Need, Panel, Query, Share

TOKENS = f"sum by (service, provider) (rate(llm_tokens_total[{WINDOW}]))"
ANSWERED = 'llm_requests_total{outcome="ok"'

COST = Board(
    uid="cutover-cost",
    title="Cutover F: cost and tokens",
    says="Tokens as the engines counted them, money by the price table. An idle engine costs as much as a busy one.",
    panels=(
        Panel(
            title="Tokens a second, by service and provider",
            says="In and out.",
            queries=(Query(TOKENS, "{{service}} {{provider}}"),),
        ),
        Panel(
            title="Tokens over the range shown",
            says="By kind.",
            kind=Kind.NUMBERS,
            queries=(Query(f"sum by (provider, type) (increase(llm_tokens_total[{RANGE}]))", "{{provider}} {{type}}"),),
        ),
        Panel(
            title="US dollars per million tokens",
            says="What was spent by what was answered, over the range shown. Only busy time is counted for engines.",
            unit="currencyUSD",
            kind=Kind.NUMBERS,
            queries=(
                Query(
                    "1000000 * "
                    + Share(
                        f"sum by (provider) (increase(llm_cost_usd_total[{RANGE}]))",
                        f"sum by (provider) (increase(llm_tokens_total[{RANGE}]))",
                    ),
                    "{{provider}}",
                ),
            ),
        ),
        Panel(
            title="US dollars an hour",
            says="By service and provider, at the pace of the moment.",
            unit="currencyUSD",
            queries=(
                Query(
                    f"3600 * sum by (service, provider) (rate(llm_cost_usd_total[{WINDOW}]))",
                    "{{service}} {{provider}}",
                ),
            ),
        ),
        Panel(
            title="Busy share of each engine",
            says="Seconds of each second in which it worked for a service. The rest of its hour is paid and unused.",
            unit="percentunit",
            queries=(
                Query(
                    f"sum by (service, provider) (rate(llm_engine_busy_seconds_total[{WINDOW}]))",
                    "{{service}} {{provider}}",
                ),
            ),
        ),
        Panel(
            title="Prices in force",
            says="From the price table, with its date there.",
            unit="currencyUSD",
            kind=Kind.TABLE,
            queries=(Query("max by (provider, per) (llm_price_usd)", "{{provider}} per {{per}}"),),
        ),
        Panel(
            title="Share of tries without a token count",
            says="How far the numbers of this board can be trusted.",
            unit="percentunit",
            queries=(
                Query(
                    Share(
                        f"sum by (provider) (rate(llm_usage_missing_total[{WINDOW}]))",
                        f'sum by (provider) (rate(llm_attempts_total{{error_type="none"}}[{WINDOW}]))',
                    ),
                    "{{provider}}",
                ),
            ),
        ),
        Panel(
            title="Tokens sent outside",
            says="To and from paid providers. 0 proves that no prompt left.",
            kind=Kind.NUMBERS,
            queries=(
                Query(f"sum by (provider) (increase(llm_paid_tokens_total[{RANGE}]))", "{{provider}}"),
                Query("sum(llm_paid_budget_tokens)", "budget left today"),
            ),
        ),
        Panel(
            title="Share of answers by a paid provider",
            says="0 while the engines here answer.",
            unit="percentunit",
            need=Need.PAID,
            queries=(
                Query(
                    Share(
                        f'sum by (service) (rate({ANSWERED},provider=~"remote|anthropic"}}[{WINDOW}]))',
                        f"sum by (service) (rate({ANSWERED}}}[{WINDOW}]))",
                    ),
                    "{{service}}",
                ),
            ),
        ),
    ),
)
