"""Board B: why answers came from another engine than the one that was to give them."""

from __future__ import annotations

from services.monitor.panels import WINDOW, Board, Kind, Panel, Quantiles, Query, Rate, Share

FAILED = 'llm_attempts_total{error_type!~"none|cancelled"}'

FALLBACKS = Board(
    uid="cutover-fallbacks",
    title="Cutover B: fallbacks and breakers",
    says="Why answers came from another engine than the one that was to give them, and who refuses whom.",
    panels=(
        Panel(
            title="Share of answers by fallback",
            says="Of all requests of the service.",
            unit="percentunit",
            queries=(
                Query(
                    Share(Rate("llm_fallbacks_total", "service"), Rate("llm_requests_total", "service")),
                    "{{service}}",
                ),
            ),
        ),
        Panel(
            title="Fallbacks, by reason",
            says="The eight that happen most. The reason is the error of the provider that was to answer first.",
            unit="reqps",
            queries=(
                Query(f"topk(8, {Rate('llm_fallbacks_total', 'from, to, reason')})", "{{from}} to {{to}}: {{reason}}"),
            ),
        ),
        Panel(
            title="Breaker open",
            says="1 while requests are kept away. A short trip between two scrapes shows in the changes only.",
            kind=Kind.STATES,
            queries=(Query("max by (service, provider) (llm_breaker_open)", "{{service}} {{provider}}"),),
        ),
        Panel(
            title="Breaker changes in ten minutes",
            says="Many of them is an engine that flaps.",
            queries=(
                Query(
                    "sum by (provider, to_state) (increase(llm_breaker_transitions_total[10m]))",
                    "{{provider}} {{to_state}}",
                ),
            ),
        ),
        Panel(
            title="Engines answer",
            says="The exporter's own question, apart from all traffic.",
            kind=Kind.STATES,
            queries=(Query("llm_provider_up", "{{provider}}"),),
        ),
        Panel(
            title="Time of that answer",
            says="An engine that is busy answers late here too.",
            unit="s",
            queries=(Query("llm_provider_probe_seconds", "{{provider}}"),),
        ),
        Panel(
            title="Seconds lost before an answer, each second",
            says="Time of requests that no try that answered has used: queues, and tries that failed.",
            unit="s",
            queries=(
                Query(
                    f"sum(rate(llm_request_duration_seconds_sum[{WINDOW}])) - "
                    f"sum(rate(llm_attempt_duration_seconds_sum[{WINDOW}]))",
                    "lost",
                ),
            ),
        ),
        Panel(
            title="Turned away",
            says="Told to come back: the queue was full, it would have taken too long, or the engine said so.",
            unit="reqps",
            queries=(Query(Rate("llm_shed_total", "service, reason"), "{{service}} {{reason}}"),),
        ),
        Panel(
            title="Waiting, and under way",
            says="Our own queue; what waits inside vLLM is on board C.",
            queries=(
                Query("sum by (provider) (llm_queue_depth)", "{{provider}} waiting"),
                Query("sum by (provider) (llm_in_flight_requests)", "{{provider}} under way"),
                Query("sum by (provider) (llm_concurrency_limit)", "{{provider}} limit"),
            ),
        ),
        Panel(
            title="Wait for a turn",
            says="All providers together.",
            unit="s",
            queries=Quantiles("llm_queue_wait_seconds", "service"),
        ),
        Panel(
            title="Errors of tries, by kind",
            says="The eight that happen most. A caller that left is none.",
            unit="reqps",
            queries=(
                Query(
                    f"topk(8, {Rate(FAILED, 'provider, error_type')})",
                    "{{provider}} {{error_type}}",
                ),
            ),
        ),
        Panel(
            title="Streams that broke, and what became of them",
            says="Rescued: another provider went on. Partial: the reader was told.",
            unit="reqps",
            queries=(
                Query(Rate("llm_streams_total", "outcome"), "{{outcome}}"),
                Query(f"sum(rate(llm_retries_total[{WINDOW}]))", "sent again on a new connection"),
            ),
        ),
    ),
)
