"""The settings of embeddings, parsed. `services.settings` reads them with all others."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from services.addresses import base


class EmbedProvider(enum.StrEnum):
    """Who makes vectors: this process itself, a vLLM started with `--runner pooling`, or the services' Ollama."""

    IN_PROCESS = "in_process"
    VLLM = "vllm"
    OLLAMA = "ollama"


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Who embeds and with what. `alias` is empty where nothing is embedded; `providers` in the order to ask them."""

    alias: str = ""
    providers: tuple[EmbedProvider, ...] = (EmbedProvider.IN_PROCESS,)
    vllm_url: str = ""


def parse(values: Mapping[str, str], problems: list[str]) -> Embedding:
    """From the values of every variable. What cannot be used is added to `problems`, a sentence each."""
    names = [part.strip() for part in values["EMBED_PROVIDERS"].split(",")]
    unknown = [name for name in names if name not in tuple(EmbedProvider)]
    url = base(values["EMBED_VLLM_URL"])
    if unknown or len(set(names)) < len(names):
        known = ", ".join(EmbedProvider)
        problems.append(f"EMBED_PROVIDERS={values['EMBED_PROVIDERS']!r} is not a list of {known}, each once at most")
        names = []
    if url is None:
        problems.append(
            f"EMBED_VLLM_URL={values['EMBED_VLLM_URL']!r} is not a URL; write it like http://127.0.0.1:8500"
        )
    if EmbedProvider.VLLM in names and not values["EMBED_VLLM_URL"]:
        problems.append("EMBED_PROVIDERS names vllm; set EMBED_VLLM_URL to a vLLM started with --runner pooling")
    providers = tuple(EmbedProvider(name) for name in names)
    return Embedding(alias=values["EMBED_MODEL"], providers=providers, vllm_url=url or "")
