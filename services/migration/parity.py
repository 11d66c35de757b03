"""Compares what both engines are and how they read a prompt: versions, names, windows, weights, prompt tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.llm.types import Message, Role
from services.migration.asking import Asker, NotReached, Reply, unreachable
from services.migration.engines import Engines, describe
from services.migration.findings import Finding, compared
from services.migration.probes import both, request
from services.migration.records import Engine, Side

SYSTEM = Message(role=Role.SYSTEM, content="You answer briefly.")
QUESTION = Message(role=Role.USER, content="Which river flows through Kraków?")
SHAPES: Mapping[str, tuple[Message, ...]] = {
    "user only": (QUESTION,),
    "system and user": (SYSTEM, QUESTION),
    "several turns": (
        SYSTEM, QUESTION, Message(role=Role.ASSISTANT, content="The Vistula."),
        Message(role=Role.USER, content="How long is it?"),
    ),
    "code and accents": (SYSTEM, Message(role=Role.USER, content='Explain:\n\tprint("naïve – ½")\n\nThanks!')),
}  # fmt: skip
TEMPLATE_HINT = (
    "give both engines the same chat template (vLLM --chat-template, Ollama TEMPLATE), then run the doctor again"
)


async def static(found: Engines) -> list[Finding]:
    """What costs no token: versions, names, windows, quantisation. Raises `EngineUnreachable`."""
    baseline, candidate = await describe(found)
    return [
        _versions(baseline, candidate),
        await _names(found),
        await _windows(found, candidate),
        quantisation(baseline, candidate),
    ]


def _versions(baseline: Engine, candidate: Engine) -> Finding:
    unknown = not baseline.version or not candidate.version
    warn = "an engine does not tell its version; a verdict cannot notice when it changes" if unknown else ""
    return compared("versions", baseline.version or "unknown", candidate.version or "unknown", warn=warn)


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


async def _windows(found: Engines, candidate: Engine) -> Finding:
    """Both windows against the registry's: the client sends Ollama that one, and trusts vLLM to have it."""
    wanted = found.model.context
    ollama = await _ollama_window(found)
    shown = f"{ollama or 'unset'} (we send num_ctx={wanted})"
    if candidate.context is None or candidate.context < wanted:
        fail = f"vLLM's window is smaller than the registry's {wanted}: start it with `--max-model-len {wanted}`"
        return compared("context window", shown, candidate.context or "unknown", fail=fail)
    different = candidate.context != wanted or ollama != wanted
    warn = (
        f"set both windows to the registry's {wanted} (`PARAMETER num_ctx {wanted}`, `--max-model-len {wanted}`): a "
        "client that sends no num_ctx makes Ollama reload the model or cut prompts"
    )
    return compared("context window", shown, candidate.context, warn=warn if different else "")


async def _ollama_window(found: Engines) -> int | None:
    """The loaded window where Ollama tells it (not before 0.10), else the Modelfile's parameter."""
    name = found.model.names["ollama"]
    loaded = (await found.ollama("/api/ps")).body.get("models") or ()
    for entry in loaded:
        if entry.get("name") == name and entry.get("context_length"):
            return int(entry["context_length"])
    shown = await found.ollama("/api/show", {"model": name})
    return _parameter(shown.body, "num_ctx")


def _parameter(shown: Mapping[str, Any], name: str) -> int | None:
    match = re.search(rf"^{name}\s+(\d+)\s*$", str(shown.get("parameters") or ""), re.MULTILINE)
    return int(match.group(1)) if match else None


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


async def counts(found: Engines) -> list[Finding]:
    """The same messages must be the same number of prompt tokens: the cheapest and best sign of the same prompt."""
    return [await _count(found, shape, messages) for shape, messages in SHAPES.items()]


async def _count(found: Engines, shape: str, messages: tuple[Message, ...]) -> Finding:
    first, second = await both(found, request(found, messages, max_tokens=1))
    check = f"prompt tokens, {shape}"
    ours, theirs = first.prompt_tokens, second.prompt_tokens
    if ours is None or theirs is None:
        return compared(check, ours, theirs, fail="an engine does not count prompt tokens; same work cannot be shown")
    if ours == theirs:
        return compared(check, ours, theirs)
    if shape == "user only":  # a template's own system message; the services always send theirs
        return compared(check, ours, theirs, warn="a template adds its own system message; always send one")
    return compared(check, ours, theirs, fail=TEMPLATE_HINT)


async def through_service(asker: Asker, items: Sequence[str]) -> list[Finding]:
    """The service's own prompts, through the service, on both arms."""
    return [await _through(asker, item) for item in items]


async def _through(asker: Asker, item: str) -> Finding:
    try:
        replies = [await asker.ask(item, side, "[doctor] ") for side in (Side.BASELINE, Side.CANDIDATE)]
    except NotReached as exc:
        raise unreachable(asker.workload.service, asker.url) from exc
    check = f"prompt tokens, own prompt {item}"
    shown = [_reply(r, s) for r, s in zip(replies, (Side.BASELINE, Side.CANDIDATE), strict=True)]
    refused = next((r for r in replies if r.status in (401, 403)), None)
    if refused is not None:
        return compared(
            check, *shown, fail="the service refused the token: ADMIN_TOKEN must be the same here and there"
        )
    foreign = [str(s) for r, s in zip(replies, Side, strict=False) if r.llm.get("provider") != s.provider]
    if foreign:
        step = f"{' and '.join(foreign)} did not answer itself; look into the service's log, then run the doctor again"
        return compared(check, *shown, fail=step)
    same = replies[0].tokens("prompt") == replies[1].tokens("prompt") and replies[0].tokens("prompt") is not None
    return compared(check, *shown, fail="" if same else TEMPLATE_HINT)


def _reply(reply: Reply, side: Side) -> str:
    if reply.error:
        return reply.error
    served = str(reply.llm.get("provider"))
    by = "" if served == side.provider else f" (answered by {served})"
    return f"{reply.tokens('prompt')} tokens{by}"
