"""A model that embeds: what vLLM's pooling runner is told, so that its vectors are those of the registry's space."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from services.llm.registry import Model
from services.llm.serving.machine import Card
from services.llm.serving.refusals import Exit, Refusal
from services.llm.serving.variables import PREFIX, VARIABLES, Wanted
from services.llm.sizing import CONTEXTS, MOST_UTILISATION, gib
from services.llm.spaces import EmbeddingSpace

GIB = 1024**3
ROOM = 3 * GIB // 2
"""GPU memory beside the weights: a batch's activations, and the KV cache of a decoder. A planning value; an encoder
such as MiniLM keeps no KV cache, so what vLLM asks to be free at its start is all that it ever takes."""

KINDS: Mapping[str, str] = {"mean": "MEAN", "cls": "CLS", "last": "LAST"}
"""How the registry names a pooling, and how vLLM 0.32 does (config/pooler.py, SequencePoolingType)."""

MEANINGLESS = ("context", "quantisation", "cards", "lora", "chat_template")
"""Our variables that are for models that generate; an embedding's window is its space's."""

OF_THE_SPACE = ("--runner", "--convert", "--pooler-config")
GENERATES = (
    *("--tool-", "--enable-auto-tool-choice", "--reasoning-", "--chat-template", "--structured-outputs-config"),
    *("--speculative-", "--spec-", "--generation-config", "--override-generation-config", "--kv-cache-memory-bytes"),
    *("--enable-lora", "--lora-", "--max-lora"),
)
"""Beginnings of vLLM's options that only a model that generates heeds."""


def check(wanted: Wanted, entry: Model, options: Sequence[str]) -> None:
    """Refuse what means nothing for a model that embeds; `options` are names of vLLM's own. Raises `Refusal`."""
    defaults = {variable.field: variable for variable in VARIABLES}
    for field in MEANINGLESS:
        variable = defaults[field]
        if getattr(wanted, field) != variable.read(variable.default):
            why = f"{variable.name} is for a model that generates, and {entry.alias} embeds"
            raise Refusal(Exit.USAGE, why, f"unset {variable.name}")
    for name in options:
        if name in OF_THE_SPACE:
            why = f"{name} is what the space of {entry.alias} decides: other vectors would not fit its index"
            raise Refusal(Exit.USAGE, why, "leave it out, or give an entry of your own another [space]")
        if name.startswith(GENERATES):
            why = f"{name} is for a model that generates, and {entry.alias} embeds"
            raise Refusal(Exit.USAGE, why, "leave it out")


def arguments(wanted: Wanted, entry: Model, space: EmbeddingSpace, card: Card | None) -> list[str]:
    """The runner, how tokens' vectors become one, where a text is too long, and the share of `card`; None is a CPU.

    A CPU gets float32, as in process, and runs eagerly, having no compiler. On a card vLLM itself takes float16 for a
    model that embeds (config/model.py, _resolve_auto_dtype). Raises `Refusal`.
    """
    pooler: dict[str, str | bool] = {"use_activation": space.normalised}
    if space.pooling:
        pooler["seq_pooling_type"] = _kind(entry, space.pooling)
    found = ["--runner", "pooling", "--pooler-config", json.dumps(pooler, sort_keys=True, separators=(",", ":"))]
    found += ["--max-model-len", str(space.tokens or entry.context)]
    if card is None:
        return [*found, "--enforce-eager", "--dtype", "float32"]
    return [*found, "--gpu-memory-utilization", f"{_share(wanted, entry, card):.3f}"]


def _kind(entry: Model, pooling: str) -> str:
    if pooling not in KINDS:
        why = f"{entry.alias} pools by {pooling!r}, which vLLM does not"
        raise Refusal(Exit.CONFIG, why, f"embed with another of EMBED_PROVIDERS, or take one of {', '.join(KINDS)}")
    return KINDS[pooling]


def _share(wanted: Wanted, entry: Model, card: Card) -> float:
    """What vLLM asks to be free on the card, rounded up to a thousandth of it; the vLLM that chats has the rest."""
    weights = entry.source.bytes if entry.source else 0
    if not weights:
        why = f"nobody has told how large the weights of {entry.alias} are, and so what share of the card they need"
        raise Refusal(Exit.CONFIG, why, f"add `bytes` to its [source] in the file of {PREFIX}MODELS")
    need = weights + ROOM
    share = -(-need * 1000 // card.total) / 1000
    if share > MOST_UTILISATION:
        why = f"{entry.alias} needs {gib(need)}, and this {card.name} has {gib(card.total)}"
        raise Refusal(Exit.CONFIG, why, "take a smaller embedding model, or EMBED_PROVIDERS=in_process")
    held = max(wanted.ollama_resident, card.total - card.free)
    if card.total - held - CONTEXTS < share * card.total:
        why = f"{gib(held)} of this {card.name} are taken or kept for Ollama, and {entry.alias} needs {gib(need)}"
        then = f"see who it is with nvidia-smi; a vLLM that started before leaves more with {PREFIX}OLLAMA_RESIDENT"
        raise Refusal(Exit.TAKEN, why, f"{then}, or set EMBED_PROVIDERS=in_process")
    return share
