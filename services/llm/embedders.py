"""Who embeds for a service, by its settings: this process, a pooling vLLM, the Ollama that also chats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.embedding import EmbedProvider
from services.llm.cutting import TOKENIZER, Cutter
from services.llm.embedding import Cut
from services.llm.link import Provider
from services.llm.providers.in_process import InProcess
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import Model, RegistryError
from services.llm.spaces import EmbeddingSpace
from services.settings import Settings

POOLING = "vllm-pooling"
"""The name of a vLLM that embeds: another server than the one that generates, with its own limit and breaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedders:
    """Who embeds, in order; the space of each alias that embeds; how its texts are brought to its window.

    Without `providers` the ones that chat are asked.
    """

    providers: tuple[Provider, ...] = ()
    spaces: Mapping[str, EmbeddingSpace] = field(default_factory=dict)
    cuts: Mapping[str, Cut] = field(default_factory=dict)


def embedders_of(settings: Settings, known: Mapping[str, Model], engines: Sequence[Provider]) -> Embedders:
    """As the settings name them; no providers where nothing is embedded.

    Raises `RegistryError` for an alias that does not embed, or that a named provider has no name for.
    """
    asked, spaces = settings.embedding, spaces_of(known)
    if not asked.alias:
        return Embedders(spaces=spaces)
    if asked.alias not in spaces:
        able = ", ".join(sorted(spaces))
        raise RegistryError(f"EMBED_MODEL={asked.alias!r} is no embedding model of the registry; there are: {able}")
    if missing := known[asked.alias].missing(*asked.providers):
        lacking = ", ".join(missing)
        raise RegistryError(f"the model {asked.alias!r} has no name for {lacking}; set EMBED_PROVIDERS to others")
    providers = tuple(_provider(settings, known, engines, name) for name in asked.providers)
    return Embedders(providers=providers, spaces=spaces, cuts=_cuts(settings, known[asked.alias]))


def spaces_of(known: Mapping[str, Model]) -> Mapping[str, EmbeddingSpace]:
    """By alias; whatever has none does not embed."""
    return {alias: entry.space for alias, entry in known.items() if entry.space is not None}


def _cuts(settings: Settings, entry: Model) -> Mapping[str, Cut]:
    """Where the space says that texts are cut here: by the tokenizer beside the weights."""
    if entry.space is None or not entry.space.tokens or entry.source is None:
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
