"""Which weights a name means: a registry key, a Hugging Face id or a folder. Anything else is refused, with advice."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.llm.registry import Model
from services.llm.registry_weights import PRECISIONS
from services.llm.serving.refusals import Exit, Refusal
from services.llm.serving.variables import PREFIX, Wanted, closest
from services.llm.spaces import EmbeddingSpace

HUGGING_FACE_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What vLLM is to load. `location` is a repository or a folder, `served` the names that clients may say.

    Without an `entry` the registry knows nothing of it, so nothing can be checked before vLLM tries.
    """

    location: str
    served: tuple[str, ...]
    is_folder: bool
    revision: str = ""
    entry: Model | None = field(default=None)
    precision: str | None = None
    is_gated: bool = False

    @property
    def space(self) -> EmbeddingSpace | None:
        """What it embeds into; None for a model that generates, and for one that nobody knows."""
        return self.entry.space if self.entry else None


def choose(wanted: Wanted, registry: Mapping[str, Model], is_there: Callable[[Path], bool]) -> Chosen:
    """The weights for `wanted.model`. Raises `Refusal` for an Ollama tag and for what nobody knows.

    `is_there` looks for the files of an embedding model, which Cutover itself may have fetched.
    """
    name = wanted.model
    if name in registry:
        if registry[name].space is not None:
            return _of_embedder(wanted, registry[name], "", is_there)
        return _of_entry(wanted, registry[name], wanted.quantisation, "")
    if name.startswith(("/", "./", "../")):
        return Chosen(location=name, served=(name.rstrip("/").rpartition("/")[2], *wanted.served_names), is_folder=True)
    found = HUGGING_FACE_ID.fullmatch(name)
    if not found:
        raise _unknown(name, registry)
    identifier, revision = found["id"], found["revision"] or ""
    for entry in registry.values():
        if entry.space is not None and entry.source and entry.source.hugging_face == identifier:
            return _of_embedder(wanted, entry, revision, is_there)
        for precision, weights in (entry.serving.weights if entry.serving else {}).items():
            if weights.hugging_face == identifier:
                return _of_entry(wanted, entry, precision, revision)
    folder = str(wanted.weights or "")
    return Chosen(
        location=folder or identifier,
        served=_once(identifier, *wanted.served_names),
        is_folder=bool(folder),
        revision=revision,
    )


def _of_entry(wanted: Wanted, entry: Model, precision: str | None, revision: str) -> Chosen:
    if entry.serving is None:
        raise _without_weights(entry)
    known = [each for each in PRECISIONS if each in entry.serving.weights]
    precision = precision or known[0]
    if precision not in known:
        why = f"there are no {precision!r} weights of {entry.alias} in the registry"
        raise Refusal(Exit.CONFIG, why, f"set {PREFIX}QUANTISATION to {closest(precision, known)}")
    weights, folder = entry.serving.weights[precision], str(wanted.weights or "")
    return Chosen(
        location=folder or weights.hugging_face,
        served=_once(entry.names.get("vllm", entry.alias), entry.alias, weights.hugging_face, *wanted.served_names),
        is_folder=bool(folder),
        revision=revision or weights.revision,
        entry=entry,
        precision=precision,
        is_gated=entry.serving.gated and precision == known[0],
    )


def _of_embedder(wanted: Wanted, entry: Model, revision: str, is_there: Callable[[Path], bool]) -> Chosen:
    """The folder that was named, else the one that was fetched, whose weights the space pins, else the repository."""
    if entry.source is None or "vllm" not in entry.names:
        raise _without_weights(entry)
    fetched = entry.source.within(wanted.model_files, entry.alias)
    folder = wanted.weights or (fetched if is_there(fetched) else None)
    return Chosen(
        location=str(folder or entry.source.hugging_face),
        served=_once(entry.names["vllm"], entry.alias, entry.source.hugging_face, *wanted.served_names),
        is_folder=folder is not None,
        revision=revision,
        entry=entry,
    )


def _without_weights(entry: Model) -> Refusal:
    why = f"{entry.alias} has no weights for vLLM in the registry ({entry.why})"
    return Refusal(Exit.CONFIG, why, "take another key; `cutover models` lists them")


def _unknown(name: str, registry: Mapping[str, Model]) -> Refusal:
    servable = {key: entry for key, entry in registry.items() if entry.serving}
    family = name.partition(":")[0]
    tags = {entry.names.get("ollama", ""): key for key, entry in servable.items()}
    same = [key for tag, key in tags.items() if tag == name] or [
        key for tag, key in tags.items() if tag.partition(":")[0] == family
    ]
    if same or ":" in name:
        key = same[0] if same else closest(family, servable)
        why = f"{name!r} is an Ollama tag, which vLLM cannot load"
        return Refusal(Exit.CONFIG, why, f"set {PREFIX}MODEL={key} and {PREFIX}SERVED_NAMES={name}")
    why = f"{name!r} is no registry key, no Hugging Face id (OWNER/NAME) and no folder"
    return Refusal(Exit.CONFIG, why, f"set {PREFIX}MODEL to {closest(name, servable)}")


def _once(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
