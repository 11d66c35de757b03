"""Asks the engines how they are: vLLM's `/health` and `/version`, Ollama's `/api/version` and `/api/ps`.

vLLM has a page of metrics of its own; Ollama 0.9.3 has none (`reference/observability.md` section 0), so what can be
known about it is what it says here and what its clients measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from services.llm.registry import models
from services.llm.routing import OLLAMA, VLLM
from services.migration import pages
from services.monitor.measures import MEMORY, OTHER, Sample
from services.settings import Settings

LIMIT_S = 2.0
"""Seconds for one question: four of them, two at a time, stay well within Prometheus' ten for a scrape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One engine now. `loaded` is memory in bytes by model alias and kind."""

    up: bool
    took_s: float
    version: str = ""
    loaded: Mapping[tuple[str, str], float] = field(default_factory=dict)


async def look(settings: Settings, *, clock: Callable[[], float] = time.perf_counter) -> dict[str, Seen]:
    """Both engines, asked at the same time. One that does not answer is `up: False`, not an error."""
    async with httpx2.AsyncClient(timeout=LIMIT_S, trust_env=False) as http:
        vllm, ollama = await asyncio.gather(_vllm(http, settings, clock), _ollama(http, settings, clock))
    return {VLLM: vllm, OLLAMA: ollama}


def samples(seen: Mapping[str, Seen], *, version: str) -> list[Sample]:
    """What was seen, as metrics; `version` is Cutover's own."""
    shown = [Sample("llm_build_info", (version, seen[VLLM].version, seen[OLLAMA].version), 1)]
    for provider, engine in seen.items():
        shown.append(Sample("llm_provider_up", (provider,), engine.up))
        shown.append(Sample("llm_provider_probe_seconds", (provider,), engine.took_s))
    none = {(alias, kind): 0.0 for alias in (*_aliases().values(), OTHER) for kind in MEMORY}
    loaded = {**none, **seen[OLLAMA].loaded}
    return shown + [Sample("llm_ollama_loaded_model_bytes", labels, size) for labels, size in loaded.items()]


async def _vllm(http: httpx2.AsyncClient, settings: Settings, clock: Callable[[], float]) -> Seen:
    key = settings.vllm_api_key
    headers = {"Authorization": f"Bearer {key.value}"} if key else {}
    began = clock()
    healthy = await _get(http, f"{settings.vllm_url}/health", headers) is not None
    took_s = clock() - began
    told = await _get(http, f"{settings.vllm_url}/version", headers) if healthy else None
    return Seen(up=healthy, took_s=took_s, version=pages.text(told, "version"))


async def _ollama(http: httpx2.AsyncClient, settings: Settings, clock: Callable[[], float]) -> Seen:
    began = clock()
    told = await _get(http, f"{settings.ollama_url}/api/version", {})
    took_s = clock() - began
    running = await _get(http, f"{settings.ollama_url}/api/ps", {}) if told is not None else None
    return Seen(
        up=bool(pages.text(told, "version")), took_s=took_s, version=pages.text(told, "version"), loaded=loaded(running)
    )


async def _get(http: httpx2.AsyncClient, url: str, headers: Mapping[str, str]) -> Any | None:
    """The JSON of a 200, `{}` for one without any; None for everything else."""
    try:
        answer = await http.get(url, headers=dict(headers))
        if answer.status_code != 200:
            return None
        return pages.parsed(answer.content) if answer.content else {}
    except (httpx2.HTTPError, ValueError):
        return None


def loaded(running: Any) -> dict[tuple[str, str], float]:
    """Bytes by alias and kind from an answer of `/api/ps`; models that the registry does not know are `other`."""
    aliases, found = _aliases(), dict[tuple[str, str], float]()
    for entry in pages.objects(running, "models"):
        alias = aliases.get(str(entry.get("name")), OTHER)
        for kind, key in zip(MEMORY, ("size", "size_vram"), strict=True):
            size = entry.get(key)
            found[alias, kind] = found.get((alias, kind), 0.0) + (size if isinstance(size, int | float) else 0.0)
    return found


def _aliases() -> dict[str, str]:
    """Ollama's name of each model of the registry, to its alias; several aliases of one model are the first."""
    found: dict[str, str] = {}
    for alias, entry in models().items():
        if OLLAMA in entry.names:
            found.setdefault(entry.names[OLLAMA], alias)
    return found
