"""Puts a client together: `client_for` from the settings, for each service's `app.py`; `assemble` from its parts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.llm.chain import Chain
from services.llm.client import LLMClient
from services.llm.hooks import Hook, log_to
from services.llm.link import PROBE_EVERY_S, Link, Provider
from services.llm.metrics import Metrics
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import model, models
from services.llm.rollout import FILE_NAME, RolloutWatch
from services.settings import Limits, Settings


def client_for(settings: Settings, service: str, registry: CollectorRegistry) -> LLMClient:
    """The client of `service` with its metrics in `registry`. Raises `RegistryError` for an unknown model alias."""
    known = models()
    limits = settings.limits
    key = settings.vllm_api_key.value if settings.vllm_api_key else None
    return assemble(
        (
            OpenAICompat(name="vllm", url=settings.vllm_url, models=known, connect_s=limits.connect_s, api_key=key),
            Ollama(name="ollama", url=settings.ollama_url, models=known, connect_s=limits.connect_s),
        ),
        service=service,
        alias=model(settings.aliases[service]).alias,
        pin=settings.pins[service],
        limits=limits,
        rollout=RolloutWatch(settings.state_dir / FILE_NAME),
        registry=registry,
        hooks=(log_to(logging.getLogger("cutover.llm")),),
    )


def assemble(
    providers: Sequence[Provider],
    *,
    service: str,
    alias: str,
    pin: str,
    limits: Limits | None = None,
    rollout: RolloutWatch | None = None,
    registry: CollectorRegistry | None = None,
    hooks: Sequence[Hook] = (),
    probe_every_s: float = PROBE_EVERY_S,
) -> LLMClient:
    """A client over `providers`, each behind its breaker and limit, with metrics in `registry`.

    Without `rollout` nothing but `pin` decides the order; `probe_every_s` in seconds.
    """
    limits = limits or Limits()
    registry = registry or CollectorRegistry()
    metrics = Metrics(registry, service=service, providers=[p.name for p in providers])
    links = {
        p.name: Link(
            p,
            alias=alias,
            max_in_flight=limits.max_in_flight,
            max_queued=limits.max_queued,
            on_state=metrics.breaker_changed,
            probe_every_s=probe_every_s,
        )
        for p in providers
    }
    return LLMClient(
        service=service,
        chain=Chain(links),
        rollout=rollout or RolloutWatch(Path("/nonexistent") / FILE_NAME),
        pin=pin,
        limits=limits,
        hooks=(metrics.observe, *hooks),
    )
