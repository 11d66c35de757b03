"""Puts the client of one service together from the settings; called by each service's `app.py`."""

from __future__ import annotations

import logging

from prometheus_client import CollectorRegistry

from services.llm.chain import Chain
from services.llm.client import LLMClient
from services.llm.hooks import log_to
from services.llm.link import Link, Provider
from services.llm.metrics import Metrics
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import model, models
from services.llm.rollout import FILE_NAME, RolloutWatch
from services.settings import Settings


def client_for(settings: Settings, service: str, registry: CollectorRegistry) -> LLMClient:
    """The client of `service` with its metrics in `registry`. Raises `RegistryError` for an unknown model alias."""
    known = models()
    alias = model(settings.aliases[service]).alias
    limits = settings.limits
    key = settings.vllm_api_key.value if settings.vllm_api_key else None
    providers: tuple[Provider, ...] = (
        OpenAICompat(name="vllm", url=settings.vllm_url, models=known, connect_s=limits.connect_s, api_key=key),
        Ollama(name="ollama", url=settings.ollama_url, models=known, connect_s=limits.connect_s),
    )
    metrics = Metrics(registry, service=service, providers=[p.name for p in providers])
    links = {
        p.name: Link(
            p,
            alias=alias,
            max_in_flight=limits.max_in_flight,
            max_queued=limits.max_queued,
            on_state=metrics.breaker_changed,
        )
        for p in providers
    }
    return LLMClient(
        service=service,
        chain=Chain(links),
        rollout=RolloutWatch(settings.state_dir / FILE_NAME),
        pin=settings.pins[service],
        limits=limits,
        hooks=(metrics.observe, log_to(logging.getLogger("cutover.llm"))),
    )
