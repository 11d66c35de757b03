"""Puts a client together: `client_for` from the settings, for each service's `app.py`; `assemble` from its parts."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from services.llm.chain import Chain
from services.llm.client import LLMClient
from services.llm.cost import Costs
from services.llm.embedders import Embedders, embedders_of, spaces_of
from services.llm.hooks import Hook, log_to
from services.llm.limits import AimdLimit
from services.llm.link import PROBE_EVERY_S, Link, Provider
from services.llm.metrics import Metrics
from services.llm.outside import outside
from services.llm.prices import load as prices
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import Model, chat_model, models
from services.llm.rollout import FILE_NAME, RolloutWatch
from services.llm.tracing import Sampling
from services.settings import Limits, Settings, SettingsError

if TYPE_CHECKING:
    from services.llm.tracing_otel import Spans

INSTALL_OTEL = "python -m pip install --require-hashes -r requirements/otel.txt"
NO_ROLLOUT = Path("/nonexistent") / FILE_NAME

BATCHING = 8.0
"""An engine that batches slows down by this much before more of it is no gain."""
TOLERANCE = {"ollama": 3.0}
"""The same for one that works on few requests at a time: beyond it, requests only wait inside instead of here."""


def client_for(
    settings: Settings, service: str, registry: CollectorRegistry, *, entry: Model | None = None
) -> LLMClient:
    """The client of `service` with its metrics in `registry`; it chats with `entry`, or else with the set alias.

    Raises `RegistryError` for an alias not for chat, and as `outside` does for a last resort that cannot be asked.
    """
    entry = entry or chat_model(settings.aliases[service], settings.models_file)
    known, limits = {**models(settings.models_file), entry.alias: entry}, settings.limits
    last_resorts = outside(settings, service, entry, known, registry)
    providers, told = (*_engines(settings, known), *last_resorts), settings.telemetry
    costs = Costs(
        registry,
        service=service,
        models={provider.name: provider.model(entry.alias) for provider in providers},
        prices=prices(told.prices) if told.prices else prices(),
    )
    spans = _spans(settings, service)
    return assemble(
        providers,
        service=service,
        alias=entry.alias,
        embed_alias=settings.embedding.alias or None,
        embedders=embedders_of(settings, known, providers),
        last_resort=tuple(provider.name for provider in last_resorts),
        pin=settings.pins[service],
        limits=limits,
        rollout=RolloutWatch(settings.state_dir / FILE_NAME),
        registry=registry,
        hooks=(log_to(logging.getLogger("cutover.llm")), costs.observe, *([spans.observe] if spans else [])),
        sampling=Sampling(ratio=told.trace_ratio, parent_based=told.trace_parent_based) if spans else None,
        keeps_words=told.log_prompts,
        on_close=(spans.aclose,) if spans else (),
    )


def _spans(settings: Settings, service: str) -> Spans | None:
    """Imported here, so that whoever does not trace neither needs OpenTelemetry nor waits for it."""
    endpoint = settings.telemetry.otlp_url
    if not endpoint:
        return None
    try:
        from services.llm.tracing_otel import Spans
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("opentelemetry", "requests"):
            raise
        raise SettingsError(
            [f"OTEL_EXPORTER_OTLP_ENDPOINT is set and OpenTelemetry is not installed; unset it, or: {INSTALL_OTEL}"]
        ) from exc
    return Spans(service=service, endpoint=endpoint)


def _engines(settings: Settings, known: Mapping[str, Model]) -> tuple[Provider, ...]:
    """vLLM and Ollama. Ollama's SDK is loaded only here: importing it takes longer than importing the client."""
    from services.llm.providers.ollama import Ollama

    key = settings.vllm_api_key.value if settings.vllm_api_key else None
    connect_s = settings.limits.connect_s
    return (
        OpenAICompat(name="vllm", url=settings.vllm_url, models=known, connect_s=connect_s, api_key=key),
        Ollama(name="ollama", url=settings.ollama_url, models=known, connect_s=connect_s),
    )


def assemble(
    providers: Sequence[Provider],
    *,
    service: str,
    alias: str,
    pin: str,
    embed_alias: str | None = None,
    embedders: Embedders | None = None,
    last_resort: tuple[str, ...] = (),
    limits: Limits | None = None,
    rollout: RolloutWatch | None = None,
    registry: CollectorRegistry | None = None,
    hooks: Sequence[Hook] = (),
    sampling: Sampling | None = None,
    keeps_words: bool = False,
    on_close: Sequence[Callable[[], Awaitable[None]]] = (),
    probe_every_s: float = PROBE_EVERY_S,
) -> LLMClient:
    """A client over `providers`, each behind one limit, and a breaker per model, with metrics in `registry`.

    `alias` is the model to chat with, `embed_alias` the one to embed with, by `embedders`. `last_resort` names
    providers behind all others. Without `rollout` nothing but `pin` decides the order; `probe_every_s` in seconds.
    """
    limits, embedders = limits or Limits(), embedders or Embedders(spaces=spaces_of(models()))
    asked = {a: tuple(providers) for a in (alias, embed_alias) if a is not None}
    asked |= {embed_alias: embedders.providers} if embed_alias and embedders.providers else {}
    everyone = {provider.name: provider for provider in (*providers, *embedders.providers)}
    metrics = Metrics(registry or CollectorRegistry(), service=service, providers=list(everyone), models=tuple(asked))
    shared = {name: _limit(provider, limits, metrics) for name, provider in everyone.items()}
    links = {a: [_link(p, a, shared[p.name], limits, metrics, probe_every_s) for p in asked[a]] for a in asked}
    return LLMClient(
        service=service,
        chains={a: Chain({k.name: k for k in of}, queue_wait_s=limits.queue_wait_s) for a, of in links.items()},
        rollout=rollout or RolloutWatch(NO_ROLLOUT),
        pin=pin,
        limits=limits,
        last_resort=last_resort,
        spaces=embedders.spaces,
        cuts=embedders.cuts,
        hooks=(metrics.observe, *hooks),
        sampling=sampling,
        keeps_words=keeps_words,
        on_close=on_close,
    )


def _link(
    provider: Provider, alias: str, limit: AimdLimit, limits: Limits, metrics: Metrics, probe_every_s: float
) -> Link:
    return Link(
        provider,
        alias=alias,
        limit=limit,
        first_token_s=limits.first_token_s,
        on_state=metrics.breaker_changed,
        probe_every_s=probe_every_s,
    )


def _limit(provider: Provider, limits: Limits, metrics: Metrics) -> AimdLimit:
    limit = AimdLimit(
        provider=provider.name,
        max_in_flight=limits.max_in_flight,
        max_queued=limits.max_queued,
        tolerance=TOLERANCE.get(provider.engine, BATCHING),
        clock=time.monotonic,
        on_shed=metrics.shed,
    )
    metrics.watch(provider.name, limit, replays=lambda: int(getattr(provider, "replays", 0)))
    return limit
