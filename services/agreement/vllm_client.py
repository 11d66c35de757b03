"""vLLM's own benchmark client behind JSON lines. Runs in vLLM's environment and knows nothing of ours.

`python vllm_client.py`; says `{"ready": version}`, then for each `{"url", "model", "prompts", "tokens", "in_flight"}`
on stdin one `{"latencies", "ttfts", "itls", "output_lens", "errors", "queue_times"}` as `--save-detailed` writes them.

`vllm bench serve` itself dies in the CPU build (its distribution has another name than its command asks for), and its
data set `custom` needs pandas, which is not there. So this calls what the command calls, `main_async`, and gives it the
prompts itself; what sends and times is vLLM's, unchanged.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

KEPT = ("latencies", "ttfts", "itls", "output_lens", "errors", "queue_times")


def main() -> None:
    """Answer orders until stdin ends. What libraries print goes to stderr."""
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import vllm  # type: ignore[import-not-found, unused-ignore]

    told.write(json.dumps({"ready": vllm.__version__}) + "\n")
    for line in sys.stdin:
        result = measured(json.loads(line))
        told.write(json.dumps({name: result[name] for name in KEPT}) + "\n")


def measured(order: Mapping[str, Any]) -> dict[str, Any]:
    """One block, as `vllm bench serve` would run it."""
    from vllm.benchmarks import serve  # type: ignore[import-not-found, unused-ignore]
    from vllm.benchmarks.datasets import SampleRequest  # type: ignore[import-not-found, unused-ignore]
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # type: ignore[import-not-found, unused-ignore]

    def samples(_arguments: Any, _tokenizer: Any) -> list[Any]:
        return [
            SampleRequest(prompt=prompt, prompt_len=1, expected_output_len=order["tokens"], request_id=str(number))
            for number, prompt in enumerate(order["prompts"])
        ]

    serve.get_samples = samples
    parser = FlexibleArgumentParser()
    serve.add_cli_args(parser)
    with tempfile.TemporaryDirectory() as folder:  # it gives every number only where it also saves them
        detailed = ["--save-result", "--save-detailed", "--result-dir", folder]
        result: dict[str, Any] = asyncio.run(serve.main_async(parser.parse_args([*arguments(order), *detailed])))
    return result


def arguments(order: Mapping[str, Any]) -> list[str]:
    """The command line. `max_tokens` beside its own `max_completion_tokens`, which not every engine reads."""
    return [
        *("--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--base-url", order["url"]),
        *("--model", order["model"], "--skip-tokenizer-init", "--num-prompts", str(len(order["prompts"]))),
        *("--max-concurrency", str(order["in_flight"]), "--temperature", "0", "--ready-check-timeout-sec", "0"),
        *("--extra-body", json.dumps({"max_tokens": order["tokens"]}), "--disable-tqdm"),
    ]


if __name__ == "__main__":
    main()
