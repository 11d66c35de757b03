"""Finds fields that an engine takes with 200 and ignores, and which spellings of a schema it keeps.

What is sent here is what other clients send (old vLLM code, the openai SDK, LangChain); ours sends none of it. Every
call is bounded by `max_tokens` or by stop strings: an Ollama that ignores `max_completion_tokens` would else write on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.migration.doctor_wire import Wire
from services.migration.findings import Finding, compared
from services.migration.parity import ollama_window
from services.migration.probes import ODD_WORDS, Said, from_openai

ODD = {
    "type": "object", "properties": {"word": {"type": "string", "enum": list(ODD_WORDS)}}, "required": ["word"],
    "additionalProperties": False,
}  # fmt: skip
NAMED = {"name": "answer", "schema": ODD}
SPELLINGS: Mapping[str, Mapping[str, Any]] = {
    "response_format json_schema": {"response_format": {"type": "json_schema", "json_schema": NAMED}},
    "response_format json_object": {"response_format": {"type": "json_object"}},
    "structured_outputs": {"structured_outputs": {"json": ODD}},
    "guided_json": {"guided_json": ODD},  # cutover: meant
    "format": {"format": ODD},
}
"""Five ways in which clients ask for JSON. `json_object` promises any object, the others this one."""

ENDS = (".", "!", "?", "\n")
FOREIGN: Mapping[str, Mapping[str, Any]] = {
    "max_completion_tokens": {"max_tokens": None, "max_completion_tokens": 1, "stop": list(ENDS)},
    "options.num_predict": {"options": {"num_predict": 1, "num_ctx": 512}},
    "guided_choice": {"guided_choice": list(ODD_WORDS)},  # cutover: meant
    "n": {"n": 2, "temperature": 1},
    "repeat_penalty": {"repeat_penalty": -1},
    "keep_alive": {"keep_alive": "no such time"},
    "think": {"think": "no such level"},
    "a field nobody knows": {"cutover_no_such_field": 1},
}
"""Fields that bite, or are refused, where an engine knows them; on /v1 of either."""


async def _v1(found: Wire, engine: str, more: Mapping[str, Any], *, max_tokens: int) -> tuple[Said, int]:
    """An answer of an OpenAI-compatible API, and how many choices it has."""
    body = {
        "model": found.model.names[engine], "messages": [{"role": "user", "content": "Greet me in one word."}],
        "max_tokens": max_tokens, "temperature": 0, "seed": 0, **more,
    }  # fmt: skip
    body = {k: v for k, v in body.items() if v is not None}
    call = found.ollama if engine == "ollama" else found.vllm
    reached = await call("/v1/chat/completions", body)
    return from_openai(reached), len(reached.body.get("choices") or ())


async def v1_is_safe(found: Wire) -> str:
    """Why Ollama's /v1 is not asked; empty where it may be.

    It cannot be told a window and takes its default: where that is another, the model is loaded anew, twice.
    """
    shown = (await found.ollama("/api/show", {"model": found.model.names["ollama"]})).body
    window = await ollama_window(found, shown)
    if window == found.model.context:
        return ""
    return f"not asked: /v1 would load the model anew (window {window or 'unset'}, we send {found.model.context})"


async def fields(found: Wire) -> Finding:
    """Which of the foreign fields each /v1 swallows, honours or refuses."""
    unsafe = await v1_is_safe(found)
    ollama = unsafe or _listed({n: await _fate(found, "ollama", n) for n in FOREIGN})
    vllm = _listed({n: await _fate(found, "vllm", n) for n in FOREIGN})
    step = (
        "our client sends none of these; look for them in every other client of the engines (`cutover doctor SERVICE "
        "--code FOLDER` does), because they have no effect there and nobody is told"
    )
    return compared("swallowed fields", ollama, vllm, warn=step if "swallows" in ollama + vllm else "")


async def _fate(found: Wire, engine: str, name: str) -> str:
    """`swallows`, `honours` or `refuses`."""
    said, choices = await _v1(found, engine, FOREIGN[name], max_tokens=2)
    if not said.ok:
        return "refuses" if 400 <= said.status < 500 else "fails on"
    took = {
        "max_completion_tokens": said.output_tokens == 1,
        "options.num_predict": said.output_tokens == 1,
        "guided_choice": said.text.strip().startswith(tuple(w[:2] for w in ODD_WORDS)),  # cutover: meant
        "n": choices == 2,
    }
    return "honours" if took.get(name, False) else "swallows"


def _listed(fates: Mapping[str, str]) -> str:
    """`swallows a, b; honours c`."""
    by_fate: dict[str, list[str]] = {}
    for name, fate in fates.items():
        by_fate.setdefault(fate, []).append(name)
    return "; ".join(f"{fate} {', '.join(names)}" for fate, names in by_fate.items())


async def formats(found: Wire) -> Finding:
    """Which spellings of a schema bring the schema, on either engine's /v1. `schema kept` asks in our own words."""
    unsafe = await v1_is_safe(found)
    ollama = unsafe or _listed({n: await _format(found, "ollama", n) for n in SPELLINGS})
    vllm = _listed({n: await _format(found, "vllm", n) for n in SPELLINGS})
    step = "write schemas as `response_format` with `json_schema`, which both keep, and nothing else"
    common = all("keeps response_format json_schema" in told or told == unsafe for told in (ollama, vllm))
    lost = "drops" in ollama + vllm
    fail = "" if common else "`response_format` with `json_schema` is not kept on both /v1: keep clients on our wrapper"
    return compared("response formats", ollama, vllm, fail=fail, warn=step if lost else "")


async def _format(found: Wire, engine: str, name: str) -> str:
    """Two tokens show it: a greeting never begins with a brace, a document always does."""
    said, _ = await _v1(found, engine, SPELLINGS[name], max_tokens=2)
    if not said.ok:
        return "refuses"
    return "keeps" if said.text.lstrip().startswith("{") else "drops"


BEHAVIOUR = (fields, formats)
