"""Who embeds for a service, by its settings: this process, a pooling vLLM, the Ollama that also chats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.embedding import EmbedProvider
from services.llm.cutting import TOKENIZER, Cutter
from services.llm.embedding import Cut
from services.llm.link import Provider
from services.llm.providers.in_process import InProcess
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import Model, RegistryError
from services.settings import Settings

POOLING = "vllm-pooling"
"""The name of a vLLM that embeds: another server than the one that generates, with its own limit and breaker."""


def embedders_of(settings: Settings, known: Mapping[str, Model], engines: Sequence[Provider]) -> tuple[Provider, ...]:
    """The providers of the embedding chain, in the order of the settings; none where nothing is embedded.

    Raises `RegistryError` for an alias that does not embed, or that a named provider has no name for.
    """
    asked = settings.embedding
    if not asked.alias:
        return ()
    entry = known.get(asked.alias)
    if entry is None or entry.space is None:
        able = ", ".join(sorted(alias for alias, model in known.items() if model.space is not None))
        raise RegistryError(f"EMBED_MODEL={asked.alias!r} is no embedding model of the registry; there are: {able}")
    if missing := entry.missing(*asked.providers):
        lacking = ", ".join(missing)
        raise RegistryError(f"the model {entry.alias!r} has no name for {lacking}; set EMBED_PROVIDERS to others")
    return tuple(_provider(settings, known, engines, name) for name in asked.providers)


def cuts_of(settings: Settings, known: Mapping[str, Model]) -> Mapping[str, Cut]:
    """How texts are brought to the window of the embedding model, where its space says that we do that."""
    entry = known.get(settings.embedding.alias)
    if entry is None or entry.space is None or not entry.space.tokens or entry.source is None:
        return {}
    folder = entry.source.folder(settings.engines_dir, entry.alias)
    return {entry.alias: Cutter(folder / TOKENIZER, tokens=entry.space.tokens).cut}


def _provider(
    settings: Settings, known: Mapping[str, Model], engines: Sequence[Provider], name: EmbedProvider
) -> Provider:
    match name:
        case EmbedProvider.IN_PROCESS:
            return InProcess(name=name, models=known, engines_dir=settings.engines_dir)
        case EmbedProvider.VLLM:
            key = settings.vllm_api_key.value if settings.vllm_api_key else None
            connect_s, url = settings.limits.connect_s, settings.embedding.vllm_url
            return OpenAICompat(name=POOLING, url=url, models=known, connect_s=connect_s, api_key=key)
        case EmbedProvider.OLLAMA:
            return next(engine for engine in engines if engine.engine == name)
