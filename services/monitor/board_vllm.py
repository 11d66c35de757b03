"""Board C: vLLM from within."""

from __future__ import annotations

from services.monitor.panels import RANGE, WINDOW, Board, Kind, Panel, Quantiles, Query, Rate, Share


class Part(str):
    """The share that one phase has of all seconds of all requests."""

    __slots__ = ()

    def __new__(cls, phase: str) -> Part:
        whole = f"sum(rate(vllm:e2e_request_latency_seconds_sum[{WINDOW}]))"
        return super().__new__(cls, Share(f"sum(rate(vllm:request_{phase}_time_seconds_sum[{WINDOW}]))", whole))


VLLM = Board(
    uid="cutover-vllm",
    title="Cutover C: vLLM from within",
    says="Explains, never judges: requests that we timed out are nowhere in these numbers.",
    panels=(
        Panel(
            title="Requests by how they finished",
            says="Aborts by a closed connection are not counted at all in vLLM 0.32.",
            unit="reqps",
            queries=(Query(Rate("vllm:request_success_total", "finished_reason"), "{{finished_reason}}"),),
        ),
        Panel(
            title="Running and waiting",
            says="Waiting for capacity is the sign of a full engine.",
            queries=(
                Query("sum(vllm:num_requests_running)", "running"),
                Query("sum by (reason) (vllm:num_requests_waiting_by_reason)", "waiting: {{reason}}"),
            ),
        ),
        Panel(
            title="KV cache in use",
            says="Near 1 with requests waiting: preemptions follow.",
            unit="percentunit",
            queries=(Query("max(vllm:kv_cache_usage_perc)", "used"),),
        ),
        Panel(
            title="Prompt tokens found in the prefix cache",
            says="Of the tokens looked up.",
            unit="percentunit",
            queries=(
                Query(
                    Share(
                        f"sum(rate(vllm:prefix_cache_hits_total[{WINDOW}]))",
                        f"sum(rate(vllm:prefix_cache_queries_total[{WINDOW}]))",
                    ),
                    "hits",
                ),
            ),
        ),
        Panel(
            title="Where the time goes",
            says="Shares of the whole: queue, prefill, decode.",
            unit="percentunit",
            queries=tuple(Query(Part(part), part) for part in ("queue", "prefill", "decode")),
        ),
        Panel(
            title="Tokens a second",
            says="In and out, of all requests.",
            queries=(
                Query(f"sum(rate(vllm:prompt_tokens_total[{WINDOW}]))", "prompt"),
                Query(f"sum(rate(vllm:generation_tokens_total[{WINDOW}]))", "generated"),
            ),
        ),
        Panel(
            title="Tokens in one step of the engine",
            says="Batching at work: near 1 it serves one at a time.",
            queries=(
                Query(
                    Share(
                        f"sum(rate(vllm:iteration_tokens_total_sum[{WINDOW}]))",
                        f"sum(rate(vllm:iteration_tokens_total_count[{WINDOW}]))",
                    ),
                    "mean",
                ),
            ),
        ),
        Panel(
            title="Preemptions and rejections in ten minutes",
            says="Preempted requests begin anew; rejected ones got a 503.",
            queries=(
                Query("sum(increase(vllm:num_preemptions_total[10m]))", "preempted"),
                Query("sum by (reason) (increase(vllm:admission_rejections_total[10m]))", "rejected: {{reason}}"),
            ),
        ),
        Panel(
            title="Requests that vanished",
            says="First tokens without an end: closed by us or by callers, hidden from vLLM's own latencies.",
            queries=(
                Query(
                    f"sum(increase(vllm:time_to_first_token_seconds_count[{RANGE}])) - "
                    f"sum(increase(vllm:e2e_request_latency_seconds_count[{RANGE}]))",
                    "vanished",
                ),
            ),
        ),
        Panel(
            title="HTTP answers, by path and status",
            says="4xx here are names and window lengths that do not fit: the usual mistakes of a move from Ollama.",
            unit="reqps",
            queries=(Query(Rate('http_requests_total{job="vllm"}', "handler, status"), "{{handler}} {{status}}"),),
        ),
        Panel(
            title="First token, at the client and in the engine, p50",
            says="What lies between is our queue, the network and HTTP. The same buckets on both sides.",
            unit="s",
            queries=(
                Query(
                    "histogram_quantile(0.5, sum by (le) (rate("
                    f'llm_attempt_time_to_first_chunk_seconds_bucket{{provider="vllm"}}[{WINDOW}])))',
                    "client",
                ),
                Query(
                    f"histogram_quantile(0.5, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[{WINDOW}])))",
                    "engine",
                ),
            ),
        ),
        Panel(
            title="Time between tokens",
            says="In the engine.",
            unit="s",
            queries=Quantiles("vllm:inter_token_latency_seconds", "model_name"),
        ),
        Panel(
            title="Restarts in an hour, and sleep",
            says="A restart empties the caches.",
            queries=(
                Query('changes(process_start_time_seconds{job="vllm"}[1h])', "restarts"),
                Query('sum(vllm:engine_sleep_state{sleep_state!="awake"})', "asleep"),
            ),
        ),
        Panel(
            title="KV cache, as configured",
            says="Tokens that fit at once, and how many requests of full length that is.",
            kind=Kind.TABLE,
            queries=(
                Query(
                    "vllm:cache_config_info",
                    "{{kv_cache_size_tokens}} tokens, {{kv_cache_max_concurrency}} full requests",
                ),
            ),
        ),
    ),
)


VLLM = Board(
    uid="cutover-vllm",
    title="Cutover C: vLLM from within",
    says="Explains, never judges: requests that we timed out are nowhere in these numbers.",
    panels=(
        Panel(
            title="Requests by how they finished",
            says="Aborts by a closed connection are not counted at all in vLLM 0.32.",
            unit="reqps",
            queries=(Query(Rate("vllm:request_success_total", "finished_reason"), "{{finished_reason}}"),),
        ),
        Panel(
            title="Running and waiting",
            says="Waiting for capacity is the sign of a full engine.",
            queries=(
                Query("sum(vllm:num_requests_running)", "running"),
                Query("sum by (reason) (vllm:num_requests_waiting_by_reason)", "waiting: {{reason}}"),
            ),
        ),
        Panel(
            title="KV cache in use",
            says="Near 1 with requests waiting: preemptions follow.",
            unit="percentunit",
            queries=(Query("max(vllm:kv_cache_usage_perc)", "used"),),
        ),
        Panel(
            title="Prompt tokens found in the prefix cache",
            says="Of the tokens looked up.",
            unit="percentunit",
            queries=(
                Query(
                    Share(
                        f"sum(rate(vllm:prefix_cache_hits_total[{WINDOW}]))",
                        f"sum(rate(vllm:prefix_cache_queries_total[{WINDOW}]))",
                    ),
                    "hits",
                ),
            ),
        ),
        Panel(
            title="Where the time goes",
            says="Shares of the whole: queue, prefill, decode.",
            unit="percentunit",
            queries=tuple(Query(Part(part), part) for part in ("queue", "prefill", "decode")),
        ),
        Panel(
            title="Tokens a second",
            says="In and out, of all requests.",
            queries=(
                Query(f"sum(rate(vllm:prompt_tokens_total[{WINDOW}]))", "prompt"),
                Query(f"sum(rate(vllm:generation_tokens_total[{WINDOW}]))", "generated"),
            ),
        ),
        Panel(
            title="Tokens in one step of the engine",
            says="Batching at work: near 1 it serves one at a time.",
            queries=(
                Query(
                    Share(
                        f"sum(rate(vllm:iteration_tokens_total_sum[{WINDOW}]))",
                        f"sum(rate(vllm:iteration_tokens_total_count[{WINDOW}]))",
                    ),
                    "mean",
                ),
            ),
        ),
        Panel(
            title="Preemptions and rejections in ten minutes",
            says="Preempted requests begin anew; rejected ones got a 503.",
            queries=(
                Query("sum(increase(vllm:num_preemptions_total[10m]))", "preempted"),
                Query("sum by (reason) (increase(vllm:admission_rejections_total[10m]))", "rejected: {{reason}}"),
            ),
        ),
        Panel(
            title="Requests that vanished",
            says="First tokens without an end: closed by us or by callers, hidden from vLLM's own latencies.",
            queries=(
                Query(
                    f"sum(increase(vllm:time_to_first_token_seconds_count[{RANGE}])) - "
                    f"sum(increase(vllm:e2e_request_latency_seconds_count[{RANGE}]))",
                    "vanished",
                ),
            ),
        ),
        Panel(
            title="HTTP answers, by path and status",
            says="4xx here are names and window lengths that do not fit: the usual mistakes of a move from Ollama.",
            unit="reqps",
            queries=(Query(Rate('http_requests_total{job="vllm"}', "handler, status"), "{{handler}} {{status}}"),),
        ),
        Panel(
            title="First token, at the client and in the engine, p50",
            says="What lies between is our queue, the network and HTTP. The same buckets on both sides.",
            unit="s",
            queries=(
                Query(
                    "histogram_quantile(0.5, sum by (le) (rate("
                    f'llm_attempt_time_to_first_chunk_seconds_bucket{{provider="vllm"}}[{WINDOW}])))',
                    "client",
                ),
                Query(
                    f"histogram_quantile(0.5, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[{WINDOW}])))",
                    "engine",
                ),
            ),
        ),
        Panel(
            title="Time between tokens",
            says="In the engine.",
            unit="s",
            queries=Quantiles("vllm:inter_token_latency_seconds", "model_name"),
        ),
        Panel(
            title="Restarts in an hour, and sleep",
            says="A restart empties the caches.",
            queries=(
                Query('changes(process_start_time_seconds{job="vllm"}[1h])', "restarts"),
                Query('sum(vllm:engine_sleep_state{sleep_state!="awake"})', "asleep"),
            ),
        ),
        Panel(
            title="KV cache, as configured",
            says="Tokens that fit at once, and how many requests of full length that is.",
            kind=Kind.TABLE,
            queries=(
                Query(
                    "vllm:cache_config_info",
                    "{{kv_cache_size_tokens}} tokens, {{kv_cache_max_concurrency}} full requests",
                ),
            ),
        ),
    ),
)
