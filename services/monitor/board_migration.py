"""Boards A and E: the two engines side by side for each service, and where every service stands."""

from __future__ import annotations

from services.monitor.panels import RANGE, WINDOW, Board, Kind, Panel, Quantiles, Query, Rate, Share

ONE = 'service="$service"'
SLOW = "llm_attempt_time_to_first_chunk_seconds"
WHOLE = "llm_attempt_duration_seconds"


class P95(str):
    """The 95 % quantile of one engine's histogram, of the service on the board."""

    __slots__ = ()

    def __new__(cls, provider: str, histogram: str) -> P95:
        rate = f'sum by (le) (rate({histogram}_bucket{{{ONE},provider="{provider}"}}[{WINDOW}]))'
        return super().__new__(cls, f"histogram_quantile(0.95, {rate})")


class OfRange(str):
    """The same over the range shown, of every service."""

    __slots__ = ()

    def __new__(cls, provider: str, histogram: str) -> OfRange:
        rate = f'sum by (service, le) (rate({histogram}_bucket{{provider="{provider}"}}[{RANGE}]))'
        return super().__new__(cls, f"histogram_quantile(0.95, {rate})")


ASKED_FIRST = f'(rate(llm_attempts_total{{{ONE},attempt="first"}}[{WINDOW}]))'
FAILED = f'llm_attempts_total{{{ONE},error_type!~"none|cancelled"}}'
TRIED = f"llm_attempts_total{{{ONE}}}"

MIGRATION = Board(
    uid="cutover-migration",
    title="Cutover A: Ollama and vLLM side by side",
    says="One service, both engines, measured where the service asks: a try that timed out counts against its engine.",
    per_service=True,
    panels=(
        Panel(
            title="Stage",
            says="Where the service stands by the ledger.",
            kind=Kind.STATES,
            queries=(Query(f"llm_migration_stage{{{ONE}}} == 1", "{{stage}}"),),
        ),
        Panel(
            title="Share of requests that ask each engine first",
            says="Actual share and target. Apart for long: callers do not spread evenly over keys, or a pin holds.",
            unit="percentunit",
            queries=(
                Query(
                    f"sum by (provider) {ASKED_FIRST} / ignoring (provider) group_left () (sum {ASKED_FIRST} > 0)",
                    "{{provider}} first",
                ),
                Query(f"llm_canary_target_ratio{{{ONE}}}", "vllm target"),
            ),
        ),
        Panel(
            title="Time to the first token, by engine",
            says="Each engine's own time, tries that failed before it left out. Streams only.",
            unit="s",
            queries=Quantiles(SLOW, "provider", ONE),
        ),
        Panel(
            title="Time per output token, by engine",
            says="Decode speed behind the first token, once per streamed answer.",
            unit="s",
            queries=Quantiles("llm_attempt_time_per_output_token_seconds", "provider", ONE),
        ),
        Panel(
            title="Whole answer, by engine",
            says="One try that answered, from asking to its end.",
            unit="s",
            queries=Quantiles("llm_attempt_duration_seconds", "provider", ONE),
        ),
        Panel(
            title="Whole answer, as the caller waits",
            says="Queue and failed tries included, by who finally answered. A fallback holds the time lost before it.",
            unit="s",
            queries=Quantiles("llm_request_duration_seconds", "provider", ONE),
        ),
        Panel(
            title="vLLM / Ollama, p95",
            says="Below 1 vLLM is faster. Only while both answer; look at the sample counts before believing it.",
            queries=(
                Query(f"{P95('vllm', SLOW)} / {P95('ollama', SLOW)}", "first token"),
                Query(
                    f"{P95('vllm', WHOLE)} / {P95('ollama', WHOLE)}",
                    "whole answer",
                ),
                Query("vector(1)", "equal"),
            ),
        ),
        Panel(
            title="Answers in the last 30 minutes",
            says="What the quantiles rest on: a p95 of fewer than 60 answers says little.",
            kind=Kind.NUMBERS,
            queries=(
                Query(
                    f"round(sum by (provider) (increase(llm_attempt_duration_seconds_count{{{ONE}}}[30m])))",
                    "{{provider}}",
                ),
            ),
        ),
        Panel(
            title="Tries that failed, by engine",
            says="Share of tries with an error. A caller that left is no error.",
            unit="percentunit",
            queries=(Query(Share(Rate(FAILED, "provider"), Rate(TRIED, "provider")), "{{provider}}"),),
        ),
        Panel(
            title="Output tokens a second, by engine",
            says="As the engines counted them.",
            queries=(
                Query(
                    f'sum by (provider) (rate(llm_tokens_total{{{ONE},type="output"}}[{WINDOW}]))',
                    "{{provider}}",
                ),
            ),
        ),
        *(
            Panel(
                title=f"First tokens of {provider}, by how long they took",
                says="The whole distribution; both engines have the same scale, that of vLLM's own buckets.",
                unit="s",
                kind=Kind.HEAT,
                queries=(
                    Query(f'sum by (le) (increase({SLOW}_bucket{{{ONE},provider="{provider}"}}[{WINDOW}]))', "{{le}}"),
                ),
            )
            for provider in ("ollama", "vllm")
        ),
        Panel(
            title="Last verdict: what was measured, and its margin",
            says="Effect with bounds. A ratio is vLLM by Ollama; the gate asks whether a bound passes the margin.",
            kind=Kind.TABLE,
            width=24,
            queries=(
                Query(f"llm_gate_value{{{ONE}}}", "{{gate}} {{bound}}"),
                Query(f"llm_gate_threshold{{{ONE}}}", "{{gate}} margin"),
            ),
        ),
    ),
)

STAGES = Board(
    uid="cutover-stages",
    title="Cutover E: stages and verdicts",
    says="For who wants to know how far the migration is, one line per service.",
    panels=(
        Panel(
            title="Stage of each service",
            says="By the ledger.",
            kind=Kind.STATES,
            width=24,
            queries=(Query("llm_migration_stage == 1", "{{service}} {{stage}}"),),
        ),
        Panel(
            title="Days in this stage",
            says="Since the last line in the ledger. None for a service that never moved.",
            unit="d",
            kind=Kind.NUMBERS,
            queries=(Query("(time() - llm_migration_stage_since_timestamp_seconds) / 86400", "{{service}}"),),
        ),
        Panel(
            title="Share that asks vLLM first",
            says="The target of the stage, and what was held back as a control.",
            unit="percentunit",
            queries=(
                Query("llm_canary_target_ratio", "{{service}} target"),
                Query("llm_holdback_ratio", "{{service}} held back"),
            ),
        ),
        Panel(
            title="Last verdict",
            says="Only a pass moves a service.",
            kind=Kind.STATES,
            queries=(Query("llm_gate_verdict == 1", "{{service}} {{outcome}}"),),
        ),
        Panel(
            title="Hours until the verdict expires",
            says="An expired one moves nothing. It also expires when engines, flags or the recipe change.",
            unit="h",
            kind=Kind.NUMBERS,
            queries=(Query("(llm_gate_expires_timestamp_seconds - time()) / 3600", "{{service}}"),),
        ),
        Panel(
            title="Evidence against vLLM in this step",
            says="The controller goes back at the limit.",
            queries=(Query("llm_canary_e_value", "{{service}}"), Query("llm_canary_e_limit", "limit")),
        ),
        Panel(
            title="Requests and errors of this step",
            says="What the controller has counted, by the engine that was to be asked first.",
            kind=Kind.TABLE,
            queries=(
                Query("llm_canary_requests", "{{service}} {{provider}} requests"),
                Query("llm_canary_errors", "{{service}} {{provider}} errors"),
            ),
        ),
        Panel(
            title="Error budget left",
            says="Of 30 days, by the objective in the rules. Below 0 it is spent.",
            unit="percentunit",
            kind=Kind.NUMBERS,
            queries=(Query("service:llm_error_budget_left:ratio30d", "{{service}}"),),
        ),
        Panel(
            title="Moves",
            says="Lines in the ledger by where they led; rolled_back are the rollbacks.",
            kind=Kind.NUMBERS,
            queries=(Query("sum by (service, stage) (llm_ledger_moves_total)", "{{service}} {{stage}}"),),
        ),
        Panel(
            title="First token, vLLM / Ollama, p95 over the range shown",
            says="Below 1 vLLM is faster.",
            kind=Kind.NUMBERS,
            queries=(
                Query(
                    f"{OfRange('vllm', SLOW)} / {OfRange('ollama', SLOW)}",
                    "{{service}}",
                ),
            ),
        ),
        Panel(
            title="What runs",
            says="A change of version ends a verdict.",
            kind=Kind.TABLE,
            queries=(Query("llm_build_info", "vLLM {{vllm_version}}, Ollama {{ollama_version}}"),),
        ),
    ),
)
