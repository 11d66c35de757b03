"""Whether a comparison of the two engines would be fair: both warm, slots told, prompts not out of a cache."""

from __future__ import annotations

import re

from services.migration import pages
from services.migration.doctor_wire import Wire
from services.migration.findings import Finding, compared
from services.migration.probes import ask_ollama, request, user
from services.migration.workload import Workload

COLD_S = 0.5
"""Seconds of `load_duration` that a loaded model does not take (0.01 to 0.05 s seen on two cores)."""

COUNTER = r"^vllm:prefix_cache_{}_total(?:\{{[^}}]*\}})? ([0-9.e+]+)$"


async def fairness(found: Wire, recipe: Workload) -> list[Finding]:
    """F1, F2 and F4 of the reference; F3, F5 to F9 are the gate's own work."""
    return [await _warm(found), await _slots(found), await _not_cached(found, recipe)]


async def _warm(found: Wire) -> Finding:
    """After all calls before it, nothing may have to load any more."""
    said = await ask_ollama(found, request(found, user("Say hello."), max_tokens=1), found.model.names["ollama"])
    loaded = pages.objects((await found.ollama("/api/ps")).body, "models")
    entry = next((m for m in loaded if m.get("name") == found.model.names["ollama"]), None)
    until = str(entry.get("expires_at") or "")[:16] if entry else ""
    told = f"load {said.load_s:.2f} s, kept until {until or 'not told'}"
    fail = "" if said.ok else "Ollama did not answer; look into its log"
    warn = (
        "Ollama loads the model again at each call: another client asks with another window, or memory is short; find "
        "it (`ollama ps`, its log) before measuring"
    )
    return compared("warm", told, "loaded for life", fail=fail, warn=warn if said.load_s > COLD_S or not entry else "")


async def _slots(found: Wire) -> Finding:
    """Ollama tells its OLLAMA_NUM_PARALLEL nowhere; a comparison must, and must try more than one."""
    seqs = re.search(r'max_num_seqs="?(\d+)', await found.text("vllm", "/metrics"))
    vllm = f"max_num_seqs {seqs.group(1)}" if seqs else "continuous batching, --max-num-seqs not told"
    step = (
        "not told over HTTP: state OLLAMA_NUM_PARALLEL beside every number and measure 1, 2 and 4; Ollama's best "
        "setting is the baseline"
    )
    return compared("parallel slots", "not told (default 1 since 0.9.7)", vllm, warn=step)


async def _not_cached(found: Wire, recipe: Workload) -> Finding:
    """Each measured prompt must begin with something new; the hit rate so far is shown."""
    text = await found.text("vllm", "/metrics")
    queries, hits = (_counter(text, name) for name in ("queries", "hits"))
    rate = f"prefix-cache hits so far {hits / queries:.0%} of tokens" if queries and hits is not None else "not told"
    told = f"each measured prompt begins its {recipe.nonce_field!r} with a number of its own"
    return compared("prompts not cached", told, rate)


def _counter(text: str, name: str) -> float | None:
    values = re.findall(COUNTER.format(name), text, re.MULTILINE)
    return sum(map(float, values)) if values else None
