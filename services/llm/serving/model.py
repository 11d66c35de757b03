"""Which weights a name means: a registry key, a Hugging Face id or a folder. Anything else is refused, with advice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.llm.registry import Model
from services.llm.registry_weights import PRECISIONS
from services.llm.serving.refusals import Exit, Refusal
from services.llm.serving.variables import PREFIX, Wanted, closest

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


def choose(wanted: Wanted, registry: Mapping[str, Model]) -> Chosen:
    """The weights for `wanted.model`. Raises `Refusal` for an Ollama tag and for what nobody knows."""
    name = wanted.model
    if name in registry:
        return _of_entry(wanted, registry[name], wanted.quantisation, "")
    if name.startswith(("/", "./", "../")):
        return Chosen(location=name, served=(name.rstrip("/").rpartition("/")[2], *wanted.served_names), is_folder=True)
    found = HUGGING_FACE_ID.fullmatch(name)
    if not found:
        raise _unknown(name, registry)
    identifier, revision = found["id"], found["revision"] or ""
    for entry in registry.values():
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
        why = f"{entry.alias} has no weights for vLLM in the registry ({entry.why})"
        raise Refusal(Exit.CONFIG, why, "take another key; `cutover models` lists them")
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
