"""The entrypoint's own variables, each with its meaning, and how their texts become values.

The prefix is ours, because vLLM reads `VLLM_*` itself: VLLM_PORT is the port of its internal sockets.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.llm.serving.refusals import Exit, Refusal

PREFIX = "CUTOVER_VLLM_"
GIB = 1024**3

RENAMED: Mapping[str, str] = {
    "VLLM_MODEL": "MODEL",
    "VLLM_PORT": "PORT",
    "GPU_MEMORY_UTILIZATION": "OLLAMA_RESIDENT",
}
"""Names of older set-ups that vLLM does not know or means otherwise, and the suffix of ours that says the same."""

DROPPED = ("VLLM_URL", "VLLM_FALLBACK", "VLLM_SERVER_URL")
"""What services are told of vLLM; unknown to vLLM itself, which warns of every VLLM_ name that is not its own."""

SIZES = {"": 1, "B": 1, "M": 1024**2, "G": GIB}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable, `suffix` without the prefix. `read` turns a text into a value or raises `ValueError`."""

    suffix: str
    default: str
    meaning: str
    read: Callable[[str], Any] = str

    @property
    def name(self) -> str:
        return PREFIX + self.suffix

    @property
    def field(self) -> str:
        return self.suffix.lower()


def count(text: str) -> int:
    """A positive whole number."""
    number = int(text)
    if number < 1:
        raise ValueError("it must be 1 or more")
    return number


def size(text: str) -> int:
    """Bytes, from `6GiB`, `512MiB`, `6G` (binary as well) or a plain number of bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG]?)(?:iB|B)?", text.strip())
    if not found:
        raise ValueError("write it like 6GiB or 512MiB")
    return int(float(found[1]) * SIZES[found[2]])


def switch(text: str) -> bool:
    """Yes or no."""
    known = {"1": True, "true": True, "yes": True, "": False, "0": False, "false": False, "no": False}
    if text.lower() not in known:
        raise ValueError("write 1 or 0")
    return known[text.lower()]


def names(text: str) -> tuple[str, ...]:
    """Several names, with commas or blanks between them."""
    return tuple(text.replace(",", " ").split())


def adapters(text: str) -> tuple[tuple[str, Path], ...]:
    """LoRA adapters as `name=folder`, with commas or blanks between them."""
    pairs = [item.partition("=") for item in names(text)]
    if not all(name and folder for name, _, folder in pairs):
        raise ValueError("write it like style=/models/style-lora")
    return tuple((name, Path(folder)) for name, _, folder in pairs)


def some_path(text: str) -> Path | None:
    """A path; `None` for an empty text."""
    return Path(text) if text else None


def some_count(text: str) -> int | None:
    """A positive whole number; `None` for an empty text."""
    return count(text) if text else None


def some_text(text: str) -> str | None:
    """The text; `None` for an empty one."""
    return text or None


VARIABLES = (
    Variable(
        suffix="MODEL", default="",
        meaning="what to serve: a registry key, a Hugging Face id (`@REVISION` pins it) or a folder with weights; "
        "the first argument says the same and wins",
    ),
    Variable(
        suffix="WEIGHTS", default="", read=some_path,
        meaning="folder with the weights, in place of a download; the registry key still gives the rest",
    ),
    Variable(
        suffix="SERVED_NAMES", default="", read=names,
        meaning="further names that clients may say, like `llama3.2`, with commas between them",
    ),
    Variable(suffix="HOST", default="0.0.0.0", meaning="address to listen on, inside the container"),
    Variable(suffix="PORT", default="8000", read=count, meaning="port to listen on; never publish it (see below)"),
    Variable(
        suffix="CONTEXT", default="", read=some_count,
        meaning="tokens of prompt and answer together; empty: what the registry says",
    ),
    Variable(
        suffix="QUANTISATION", default="", read=some_text,
        meaning="weights of the registry to take: bf16, fp8, mxfp4 or w4; empty: the registry's widest",
    ),
    Variable(
        suffix="OLLAMA_RESIDENT", default="0", read=size,
        meaning="GPU memory to leave to Ollama, like 6GiB; what others hold at the start is left in any case",
    ),
    Variable(suffix="CARDS", default="1", read=count, meaning="GPUs that share the weights (tensor parallel)"),
    Variable(
        suffix="FAST_BOOT", default="0", read=switch, meaning="1: start in a third of the time, answer slower (eager)",
    ),
    Variable(suffix="OFFLINE", default="0", read=switch, meaning="1: models come from the cache only, no hub is asked"),
    Variable(
        suffix="LORA", default="", read=adapters, meaning="LoRA adapters as name=folder, with commas between them",
    ),
    Variable(
        suffix="CHAT_TEMPLATE", default="", read=some_path,
        meaning="Jinja file in place of the model's own template, so that both engines get the same prompt",
    ),
    Variable(
        suffix="API_KEY_FILE", default="", read=some_path,
        meaning="file with the key that clients must send; never an argument, which `ps` shows",
    ),
    Variable(
        suffix="HF_TOKEN_FILE", default="", read=some_path,
        meaning="file with a Hugging Face token, for gated models",
    ),
    Variable(
        suffix="DRAIN_S", default="30", read=count,
        meaning="seconds that running requests get after SIGTERM; keep the container's grace period longer",
    ),
    Variable(
        suffix="MODELS", default="", read=some_path,
        meaning="TOML file with entries of your own, laid over the registry (docs/MODELS.md)",
    ),
    Variable(
        suffix="MODEL_FILES", default="/models", read=Path,
        meaning="folder with what `cutover models --fetch` brought; an embedding model that is there is not downloaded",
    ),
    Variable(suffix="PYTHON", default="python3", meaning="the Python that has vLLM; read by the shell script"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The variables as values, in their order. Sizes in bytes, `drain_s` in seconds."""

    model: str
    weights: Path | None
    served_names: tuple[str, ...]
    host: str
    port: int
    context: int | None
    quantisation: str | None
    ollama_resident: int
    cards: int
    fast_boot: bool
    offline: bool
    lora: tuple[tuple[str, Path], ...]
    chat_template: Path | None
    api_key_file: Path | None
    hf_token_file: Path | None
    drain_s: int
    models: Path | None
    model_files: Path
    python: str


def wanted(env: Mapping[str, str], model: str = "") -> Wanted:
    """What the environment asks for; `model` is the one given as an argument. Raises `Refusal`."""
    _refuse_strangers(env)
    values = {v.field: _value(v, env) for v in VARIABLES}
    if model:
        values["model"] = model
    if not values["model"]:
        raise Refusal(
            Exit.USAGE,
            "no model was named",
            f"set {PREFIX}MODEL (vllm-embed of compose: EMBED_MODEL) or give one: vllm-entrypoint.sh llama-3.2-3b",
        )
    return Wanted(**values)


def _value(variable: Variable, env: Mapping[str, str]) -> Any:
    text = env.get(variable.name) or variable.default
    try:
        return variable.read(text)
    except ValueError as exc:
        why = f"{variable.name}={text!r} cannot be read ({exc})"
        raise Refusal(Exit.USAGE, why, f"unset {variable.name}, or give {variable.meaning}") from exc


def _refuse_strangers(env: Mapping[str, str]) -> None:
    known = [v.name for v in VARIABLES]
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known:
            raise Refusal(Exit.USAGE, f"there is no variable {name}", f"use {closest(name, known)}")
        if name in RENAMED and env[name] and not env[name].startswith("tcp://"):
            why = f"{name} is not for here: vLLM does not know it, or means something else by it"
            raise Refusal(Exit.USAGE, why, f"use {PREFIX}{RENAMED[name]} and unset {name}")


def closest(name: str, known: Iterable[str]) -> str:
    """The one of `known` that is most like `name`; all of them where none is."""
    choices = sorted(known)
    found = difflib.get_close_matches(name, choices, n=1)
    return found[0] if found else "one of " + ", ".join(choices)
