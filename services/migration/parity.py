"""Compares what both engines are, without a token: versions, names, weights, windows, Modelfile, defaults, memory."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.llm.mapping import ollama_arguments, openai_arguments
from services.migration.doctor_wire import Wire
from services.migration.engines import Engines
from services.migration.findings import Finding, compared
from services.migration.modelfile import defaults_of_ollama, parameters
from services.migration.probes import request, user
from services.migration.records import Engine

KNOWN_OLLAMA, KNOWN_VLLM = ((0, 9), (0, 33)), ((0, 32), (0, 33))
"""From and to which version the facts behind these checks were read (`reference/engines.md`, evidence labels)."""

NEUTRAL = {
    "temperature": "1", "top_p": "1", "top_k": "off", "min_p": "0", "repetition_penalty": "1",
    "max_tokens": "rest of the window",
}  # fmt: skip
"""What vLLM takes where neither the request nor generation_config.json says anything."""


async def static(found: Wire, described: tuple[Engine, Engine]) -> list[Finding]:
    """What costs no token. `described` as `engines.describe` gives them. Raises `EngineUnreachable`."""
    baseline, candidate = described
    shown = (await found.ollama("/api/show", {"model": found.model.names["ollama"]})).body
    listed = await found.vllm("/v1/models")
    named = (m.get("root") for m in listed.body.get("data") or () if m.get("id") == found.model.names["vllm"])
    root = str(next(named, None) or "")
    return [
        versions(baseline, candidate),
        same_model(shown, root),
        await _names(found),
        await _windows(found, candidate, shown),
        quantisation(baseline, candidate),
        await _modelfile(found, shown),
        sampling(found),
        defaults(found, shown, baseline.version, root),
        await _gpu(found),
    ]


def versions(baseline: Engine, candidate: Engine) -> Finding:
    """Whether the facts behind these checks are about these versions."""
    shown, steps = [], []
    ranges = {"Ollama": (baseline, KNOWN_OLLAMA), "vLLM": (candidate, KNOWN_VLLM)}
    for name, (engine, (first, last)) in ranges.items():
        number = version_of(engine.version)
        shown.append(engine.version or "unknown")
        if not engine.version:
            steps.append(f"{name} does not tell its version; a verdict cannot notice when it changes")
        elif number is None:
            steps.append(f"{name}'s version is not a number; what depends on it was taken for the newest known")
        elif not first <= number <= last:
            span = f"{'.'.join(map(str, first))} to {'.'.join(map(str, last))}"
            steps.append(f"{name} is outside {span}, which these checks were written for: read its release notes")
    return compared("versions", *shown, warn="; ".join(steps))


def version_of(text: str) -> tuple[int, int] | None:
    """Major and minor; None for what does not begin with two numbers."""
    match = re.match(r"v?(\d{1,6})\.(\d{1,6})", text)
    return (int(match.group(1)), int(match.group(2))) if match else None


def same_model(shown: Mapping[str, Any], root: str) -> Finding:
    """Whether vLLM's weights bear the name that is inside Ollama's file. Names only: `quantisation` compares bytes."""
    info = shown.get("model_info") or {}
    parts = [str(info.get(f"general.{key}") or "") for key in ("basename", "size_label")]
    told = " ".join(p for p in parts if p) or "not told"
    warn = ""
    if ":" in root:
        warn = f"vLLM serves {root!r}: a colon is in no Hugging Face id; name a repository and pin its --revision"
    elif not root or not parts[0]:
        warn = "an engine does not tell what it serves; compare the model cards by hand and waive this with the result"
    elif any(_bare(p) not in _bare(root) for p in parts if p):
        warn = (
            "vLLM's path does not name that model; see that both are the same and in the same revision, or waive this"
        )
    return compared("same model", told, root or "not told", warn=warn)


def _bare(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


async def _names(found: Engines) -> Finding:
    """A name that an engine does not know is answered with 404, or by another model."""
    tags = await found.ollama("/api/tags")
    listed = await found.vllm("/v1/models")
    pulled = sorted(str(m.get("name")) for m in tags.body.get("models") or ())
    served = sorted(str(m.get("id")) for m in listed.body.get("data") or ())
    names, steps = found.model.names, []
    if names["ollama"] not in pulled:
        steps.append(f"`ollama pull {names['ollama']}`")
    if names["vllm"] not in served:
        steps.append(f"start vLLM with `--served-model-name {names['vllm']}`")
    fail = " and ".join(steps)
    return compared("model names", ", ".join(pulled)[:120] or "none", ", ".join(served)[:120] or "none", fail=fail)


async def _windows(found: Engines, candidate: Engine, shown: Mapping[str, Any]) -> Finding:
    """Both windows against the registry's: the client sends Ollama that one, and trusts vLLM to have it."""
    wanted = found.model.context
    ollama = await ollama_window(found, shown)
    told = f"{ollama or 'unset'} (we send num_ctx={wanted})"
    if candidate.context is None or candidate.context < wanted:
        fail = f"vLLM's window is smaller than the registry's {wanted}: start it with `--max-model-len {wanted}`"
        return compared("context window", told, candidate.context or "unknown", fail=fail)
    different = candidate.context != wanted or ollama != wanted
    warn = (
        f"set both windows to the registry's {wanted} (`PARAMETER num_ctx {wanted}`, `--max-model-len {wanted}`): a "
        "client that sends no num_ctx makes Ollama reload the model or cut prompts"
    )
    return compared("context window", told, candidate.context, warn=warn if different else "")


async def ollama_window(found: Engines, shown: Mapping[str, Any]) -> int | None:
    """The loaded window where Ollama tells it (0.9.3 does not), else the Modelfile's parameter."""
    name = found.model.names["ollama"]
    loaded = (await found.ollama("/api/ps")).body.get("models") or ()
    for entry in loaded:
        if entry.get("name") == name and entry.get("context_length"):
            return int(entry["context_length"])
    told = parameters(shown).get("num_ctx", ["unset"])[-1]
    return int(told) if re.fullmatch(r"[0-9]{1,9}", told) else None


def quantisation(baseline: Engine, candidate: Engine) -> Finding:
    """Different weights make a different model; the comparison is then labelled so."""
    plain = candidate.quantization.removesuffix(" dequantised").lower()
    same = plain == baseline.quantization.lower() and plain != "unknown"
    warn = (
        ""
        if same
        else "not like-for-like: the weights differ or are not told; quality and speed then compare models, not engines"
    )
    return compared("quantisation", baseline.quantization, candidate.quantization, warn=warn)


async def _modelfile(found: Wire, shown: Mapping[str, Any]) -> Finding:
    """What the Modelfile adds to every request and vLLM knows nothing of."""
    text = str(shown.get("modelfile") or "")
    held = [word for word in ("SYSTEM", "ADAPTER", "MESSAGE") if re.search(rf"^{word}\s", text, re.MULTILINE)]
    held += ["SYSTEM"] if shown.get("system") and "SYSTEM" not in held else []
    stops = parameters(shown).get("stop", [])
    counts = {stop: await _tokens(found, stop) for stop in stops if stop not in found.model.stop}
    lost = [stop for stop, count in counts.items() if count != 1]
    steps = [
        f"{word} does not move along: put it into the service's prompt or vLLM's flags, or waive it" for word in held
    ]
    if lost:
        steps.append(f"add the stops {lost} to `stop` of {found.model.alias} in models.toml; vLLM does not know them")
    held += [f"stop {stop!r}" for stop in stops]
    carried = "; ".join(f"{stop!r} is {_told(count)} here" for stop, count in counts.items())
    fail = "; ".join(steps)
    return compared("Modelfile", ", ".join(held) or "adds nothing", carried or "nothing to carry", fail=fail)


async def _tokens(found: Wire, text: str) -> int | None:
    """Tokens of a text in vLLM's tokenizer; a turn's end mark is one. None where it does not tell."""
    body = {"model": found.model.names["vllm"], "prompt": text, "add_special_tokens": False}
    count = (await found.vllm("/tokenize", body)).body.get("count")
    return count if isinstance(count, int) else None


def _told(count: int | None) -> str:
    return "not countable" if count is None else "one token" if count == 1 else f"{count} tokens"


def unsent(found: Engines) -> Mapping[str, list[str]]:
    """The sampling fields that our client leaves to each engine."""
    asked = request(found, user("-"), max_tokens=1)
    options = ollama_arguments(asked, found.model)["options"]
    arguments = openai_arguments(asked, found.model)
    body: dict[str, Any] = {**arguments, **arguments["extra_body"]}
    shared = {"temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "seed"}
    return {
        "ollama": sorted((shared | {"num_predict", "num_ctx", "repeat_penalty"}) - options.keys()),
        "vllm": sorted((shared | {"max_tokens", "repetition_penalty"}) - body.keys()),
    }


def sampling(found: Engines) -> Finding:
    """Every sampling field must be in what we send: the engines' defaults differ three ways."""
    missing = unsent(found)
    shown = [f"missing {', '.join(m)}" if m else "all fields sent" for m in missing.values()]
    fail = (
        "the client does not send every sampling field; mend services/llm/mapping.py" if any(missing.values()) else ""
    )
    return compared("sampling complete", *shown, fail=fail)


def defaults(found: Engines, shown: Mapping[str, Any], version: str, root: str) -> Finding:
    """What each engine would fill in. It fails where our client leaves any of it to them."""
    native, v1 = defaults_of_ollama(parameters(shown), version_of(version))
    ollama = f"native: {_pairs(native)}; /v1: {_pairs(v1)}"
    told = _generation_config(root)
    if told is None:
        vllm = f"{_pairs(NEUTRAL)}, unless its generation_config.json (not readable from here) says otherwise"
    else:
        vllm = _pairs({**NEUTRAL, **told}) + ("; generation_config.json says nothing of them" if not told else "")
    left = sorted({name for names in unsent(found).values() for name in names})
    fail = f"our client does not send {', '.join(left)}: mend services/llm/mapping.py" if left else ""
    return compared("sampling defaults", ollama, vllm, fail=fail)


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _generation_config(root: str) -> dict[str, str] | None:
    """The sampling fields of a local model folder's generation_config.json; None where it cannot be read."""
    if not root.startswith("/"):
        return None
    try:
        config = json.loads((Path(root) / "generation_config.json").read_text())
    except FileNotFoundError:
        return {} if Path(root).is_dir() else None
    except (OSError, ValueError):
        return None
    names = {**{name: name for name in NEUTRAL}, "max_new_tokens": "max_tokens"}
    return {names[k]: str(v) for k, v in config.items() if k in names} if isinstance(config, dict) else None


async def _gpu(found: Wire) -> Finding:
    """Where each model lies, as far as the engines tell."""
    name = found.model.names["ollama"]
    loaded = (await found.ollama("/api/ps")).body.get("models") or ()
    entry: Mapping[str, Any] = next((m for m in loaded if m.get("name") == name), {})
    size, on_card = entry.get("size") or 0, entry.get("size_vram") or 0
    told = f"{on_card / 2**30:.2f} of {size / 2**30:.2f} GiB on a GPU" if entry else "not loaded"
    labels = re.search(r"^vllm:cache_config_info\{(.*)\}", await found.text("vllm", "/metrics"), re.MULTILINE)
    share = re.search(r'gpu_memory_utilization="([^"]*)"', labels.group(1)) if labels else None
    vllm = f"gpu_memory_utilization {share.group(1)}" if share else "not told"
    fail = "Ollama holds a part of the model in CPU memory: free the card, or it is no baseline"
    return compared("GPU share", told, vllm, fail=fail if 0 < on_card < size else "")
