"""What is wrong, or only unwise, about a registry whose every entry can be read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from services.llm.registry import Model
from services.llm.registry_weights import Serving

BYTES_PER_PARAMETER: Mapping[str, tuple[float, float]] = {
    "bf16": (1.98, 2.02),
    "fp8": (0.95, 1.6),
    "mxfp4": (0.5, 1.0),
    "w4": (0.45, 1.1),
}
"""Least and most. The narrow ones reach far up because small models keep a large share, the embeddings, in bf16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing about one entry. `is_error` where the entry would mislead a plan or an engine."""

    alias: str
    is_error: bool
    text: str


def remarks(models: Mapping[str, Model]) -> tuple[Remark, ...]:
    """Everything to say about `models`, in their order."""
    found = [remark for alias, entry in models.items() for remark in _of_entry(alias, entry)]
    return (*found, *_shared(models))


def _of_entry(alias: str, entry: Model) -> Iterator[Remark]:
    def said(text: str, *, is_error: bool = False) -> Remark:
        return Remark(alias=alias, is_error=is_error, text=text)

    if not entry.why.strip():
        yield said("why is empty; say what the model is there for", is_error=True)
    if entry.context < 1:
        yield said(f"context={entry.context} is not a window", is_error=True)
    if entry.serving is None:
        if entry.chats:
            yield said("no [serving] table, so `cutover plan` knows nothing of its size")
        return
    if entry.context > entry.serving.max_context:
        most = entry.serving.max_context
        yield said(f"context={entry.context} is beyond the model's {most}; vLLM would not start", is_error=True)
    for text in _bytes(entry.serving):
        yield said(text, is_error=True)
    unpinned = [name for name, weights in entry.serving.weights.items() if not weights.revision]
    if unpinned:
        yield said(f"{', '.join(unpinned)}: no revision; pin the commit that you pulled, or a new one comes by itself")


def _bytes(serving: Serving) -> Iterator[str]:
    for name, weights in serving.weights.items():
        least, most = BYTES_PER_PARAMETER[name]
        ratio = weights.bytes / serving.parameters
        if not least <= ratio <= most:
            yield (
                f"{name}: {weights.bytes:,} bytes for {serving.parameters:,} parameters are {ratio:.2f} each, "
                f"and {name} weights have {least} to {most}"
            )


def _shared(models: Mapping[str, Model]) -> Iterator[Remark]:
    """Two chat models under one name at one engine: one of them would answer for the other."""
    for engine in ("vllm", "ollama"):
        first: dict[str, str] = {}
        for alias, entry in models.items():
            name = entry.names.get(engine)
            if name is None or not entry.chats:
                continue
            other = first.setdefault(name, alias)
            if other != alias:
                yield Remark(alias=alias, is_error=True, text=f"{engine} = {name!r} is [{other}] already")
