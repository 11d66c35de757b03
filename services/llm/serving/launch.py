"""The whole command line and environment of vLLM, put together from what is wanted, what is there and what fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.llm.registry import Model
from services.llm.serving import fit, options, pooling
from services.llm.serving.machine import Machine
from services.llm.serving.model import Chosen, choose
from services.llm.serving.refusals import Exit, Refusal
from services.llm.serving.variables import DROPPED, PREFIX, RENAMED, Wanted

OURS = {
    "--model": "MODEL",
    "--revision": "MODEL",
    "--served-model-name": "SERVED_NAMES",
    "--host": "HOST",
    "--port": "PORT",
    "--lora-modules": "LORA",
    "--chat-template": "CHAT_TEMPLATE",
    "--api-key": "API_KEY_FILE",
    "--hf-token": "HF_TOKEN_FILE",
    "--shutdown-timeout": "DRAIN_S",
    "--max-model-len": "CONTEXT",
    "--tensor-parallel-size": "CARDS",
    "-tp": "CARDS",
}
"""vLLM's arguments that one of our variables sets: the plan follows those, and a key in argv shows in `ps`."""

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")

CPU_DEFAULTS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; vLLM's own default is four
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",  # by default a core idles
}
ALWAYS_DEFAULTS = {
    "VLLM_HOST_IP": "127.0.0.1",  # what vLLM's own processes talk over; else an address of the container's network
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """How files are looked at: `unreadable` gives the reason or an empty text, `read` the content."""

    is_there: Callable[[Path], bool]
    unreadable: Callable[[Path], str]
    read: Callable[[Path], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is executed. `notes` are for whoever reads the log; no secret is in `argv` or `notes`."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    notes: tuple[str, ...]


def launch(
    wanted: Wanted,
    machine: Machine,
    registry: Mapping[str, Model],
    *,
    extra: Sequence[str],
    env: Mapping[str, str],
    files: Files,
) -> Launch:
    """vLLM's command. `extra` are its own arguments, as the caller gave them after `--`. Raises `Refusal`."""
    chosen = choose(wanted, registry, files.is_there)
    _check_files(wanted, chosen, files)
    _check_token(wanted, chosen, env)
    _check_extra(extra)
    words = merged(_common(wanted, chosen), _of_kind(wanted, chosen, machine, extra), _asked(wanted), extra)
    model = ("--model", chosen.location) if machine.names_model else (chosen.location,)
    return Launch(
        argv=(*(machine.command or ("vllm", "serve")), *model, *words),
        env=_environ(wanted, machine, env, files),
        notes=_notes(wanted, chosen, env),
    )


def _common(wanted: Wanted, chosen: Chosen) -> list[str]:
    found = ["--revision", chosen.revision] if chosen.revision and not chosen.is_folder else []
    found += ["--served-model-name", *chosen.served, "--host", wanted.host, "--port", str(wanted.port)]
    found += ["--shutdown-timeout", str(wanted.drain_s), "--enable-request-id-headers"]
    return [*found, "--disable-access-log-for-endpoints", "/health,/metrics"]


def _of_kind(wanted: Wanted, chosen: Chosen, machine: Machine, extra: Sequence[str]) -> list[str]:
    """What differs between a model that embeds and one that generates."""
    entry, space = chosen.entry, chosen.space
    if entry is None or space is None:
        arguments = fit.arguments(wanted, chosen, machine)
        return ["--generation-config", "vllm", "--enable-prompt-tokens-details", *arguments]
    pooling.check(wanted, entry, [name_of(word) for word in extra if is_option(word)])
    card = None if machine.is_cpu else fit.fullest_card(wanted, machine)
    return pooling.arguments(wanted, entry, space, card)


def _asked(wanted: Wanted) -> list[str]:
    found = ["--enforce-eager"] if wanted.fast_boot else []
    if wanted.chat_template:
        found += ["--chat-template", str(wanted.chat_template)]
    if wanted.lora:
        found += ["--enable-lora", "--lora-modules", *(f"{name}={folder}" for name, folder in wanted.lora)]
    return found


def merged(*parts: Sequence[str]) -> list[str]:
    """One list in which each option is there once: where two parts name it, the later part's values hold."""
    found: dict[str, list[str]] = {}
    for part in parts:
        own: dict[str, list[str]] = {}
        current: list[str] = []
        for word in part:
            if is_option(word):
                current = own.setdefault(name_of(word), [])
            current.append(word)
        found |= own
    return [word for words in found.values() for word in words]


def is_option(word: str) -> bool:
    """Whether a word begins an option; `-1` is a value."""
    return word.startswith("-") and not word[1:2].isdigit() and word != "-"


def name_of(word: str) -> str:
    """`--max_num_seqs=4` is `--max-num-seqs`: vLLM takes both spellings."""
    return word.partition("=")[0].replace("_", "-")


def _check_extra(extra: Sequence[str]) -> None:
    if extra and not is_option(extra[0]):
        why = f"{extra[0]!r} is a second model, or the value of no option"
        raise Refusal(Exit.USAGE, why, "name one model; vLLM's own arguments come after --")
    for word in extra:
        name = name_of(word)
        if not is_option(word):
            continue
        if name in OURS:
            why = f"{name} is not given among vLLM's own arguments"
            raise Refusal(Exit.USAGE, why, f"set {PREFIX}{OURS[name]}")
        options.check(name)


def _check_files(wanted: Wanted, chosen: Chosen, files: Files) -> None:
    paths = [Path(chosen.location)] if chosen.is_folder else []
    paths += [folder for _, folder in wanted.lora]
    paths += [path for path in (wanted.chat_template, wanted.api_key_file, wanted.hf_token_file, wanted.models) if path]
    for path in paths:
        why = files.unreadable(path)
        if why:
            then = f"mount it, or on the host `chmod -R a+rX` what is mounted at {path}"
            raise Refusal(Exit.UNREADABLE, why, then)


def _check_token(wanted: Wanted, chosen: Chosen, env: Mapping[str, str]) -> None:
    has_token = wanted.hf_token_file or any(env.get(name) for name in TOKENS)
    if chosen.is_gated and not (chosen.is_folder or wanted.offline or has_token):
        why = f"{chosen.location} is gated and there is no Hugging Face token"
        then = f"accept its licence at https://huggingface.co/{chosen.location} and set {PREFIX}HF_TOKEN_FILE"
        raise Refusal(Exit.FORBIDDEN, why, then)


def _environ(wanted: Wanted, machine: Machine, env: Mapping[str, str], files: Files) -> dict[str, str]:
    """vLLM's environment: nothing of ours, nothing that it would misread, and its secrets."""
    strange = {*RENAMED, *DROPPED}
    kept = {name: value for name, value in env.items() if not name.startswith(PREFIX) and name not in strange}
    found = {**ALWAYS_DEFAULTS, **(CPU_DEFAULTS if machine.is_cpu else {}), **kept}
    if wanted.offline:
        found["HF_HUB_OFFLINE"] = "1"
    if wanted.api_key_file:
        found["VLLM_API_KEY"] = _secret(wanted.api_key_file, files)
    if wanted.hf_token_file:
        found["HF_TOKEN"] = _secret(wanted.hf_token_file, files)
    return found


def _secret(path: Path, files: Files) -> str:
    text = files.read(path).strip()
    if not text or len(text.split()) > 1:
        raise Refusal(Exit.UNREADABLE, f"{path} does not hold one word, which a secret is", f"write it anew: > {path}")
    return text


def _notes(wanted: Wanted, chosen: Chosen, env: Mapping[str, str]) -> tuple[str, ...]:
    notes = [f"{name} is not vLLM's and was left out" for name in (*DROPPED, *RENAMED) if name in env]
    if chosen.entry is None:
        notes.append(f"{chosen.location} is not in the registry: nobody has checked that it fits")
    if chosen.space:
        notes.append(f"{chosen.served[0]} embeds: this vLLM answers /v1/embeddings, no chat")
    if wanted.lora and chosen.entry:
        notes.append(
            "the plan leaves no room for LoRA adapters: lower --kv-cache-memory-bytes if vLLM runs out of memory"
        )
    return tuple(notes)
