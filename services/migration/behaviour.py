"""More short calls to both engines: stops, cut documents, tools, images, seeds. See `probes`."""

from __future__ import annotations

import json

from services.llm.mapping import refusal
from services.llm.registry import Capability
from services.llm.types import Image, Message, Role
from services.migration.doctor_wire import Wire
from services.migration.findings import Finding, compared
from services.migration.probes import (
    ODD_WORDS,
    Said,
    ask_ollama,
    both,
    from_openai,
    request,
    shown,
    user,
    vllm_body,
)
from services.migration.rendering import TOOL, TOOL_SHAPES, with_tools

NAMES = ("Ollama", "vLLM")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""One pixel of PNG, in base64."""


def _of(pairs: tuple[bool, ...]) -> str:
    return " and ".join(name for name, holds in zip(NAMES, pairs, strict=True) if holds)


async def stops(found: Wire) -> Finding:
    """A stop string ends the answer and is not in it."""
    asked = request(found, user("Count: one, two, three, four, five, six."), max_tokens=12)
    free = await both(found, asked)
    stop = _stop_of(free)
    said = await both(
        found, request(found, user("Count: one, two, three, four, five, six."), max_tokens=12, stop=(stop,))
    )
    loose = tuple(not s.ok or stop in s.text or s.finish != "stop" for s in said)
    fail = f"{_of(loose)} did not stop at {stop!r}, or left it in; check the proxy between" if any(loose) else ""
    return compared("stop honoured", *(f"{s.text[:30]!r}, {s.finish or shown(s)}" for s in said), fail=fail)


def _stop_of(free: tuple[Said, Said]) -> str:
    """A letter that both write, so that a stop at it must show; not the first one, which would leave nothing."""
    common = [c for c in free[0].text[1:] if c.isalpha() and c in free[1].text[1:]]
    return common[0] if common else "e"


async def cuts_schema(found: Wire) -> Finding:
    """Half a document must end with `length`, which the client makes an error of."""
    schema = {
        "type": "object",
        "properties": {"word": {"type": "string", "enum": list(ODD_WORDS)}},
        "required": ["word"],
    }
    said = await both(found, request(found, user("One word, as JSON."), max_tokens=2, schema=schema))
    wrong = tuple(not s.ok or s.finish != "length" for s in said)
    fail = f"{_of(wrong)} gave half a document and did not say `length`; never let it write JSON" if any(wrong) else ""
    return compared("schema cut short", *(f"{s.text[:20]!r}, {s.finish or shown(s)}" for s in said), fail=fail)


async def tools(found: Wire) -> Finding:
    """A tool must be called as a call: by choice, by force and by name; arguments must fit its schema."""
    asked = with_tools(request(found, TOOL_SHAPES["tools"], max_tokens=48))
    body = vllm_body(found, asked, found.model.names["vllm"])
    named = {"type": "function", "function": {"name": TOOL.name}}
    told = []
    for word, choice in (("auto", "auto"), ("required", "required"), ("named", named)):
        said = from_openai(await found.vllm("/v1/chat/completions", {**body, "tool_choice": choice}))
        told.append((word, said, _called(said)))
    ollama = _called(await ask_ollama(found, asked, found.model.names["ollama"]))
    forced = [f"{word}: {how}" for word, said, how in told if word != "auto" and how != "a call"]
    refused = next((said for _, said, _ in told if not said.ok), None)
    vllm = "; ".join(f"{word}: {how}" for word, _, how in told)
    if not forced and told[0][1].ok and ollama == "a call":
        return compared("tool calls", ollama, vllm)
    step = "start vLLM with --enable-auto-tool-choice --tool-call-parser NAME" if refused else "see which parser fits"
    step += " (`vllm serve --help`), and give Ollama a TEMPLATE with tools"
    if Capability.TOOLS in found.model.capabilities:
        return compared("tool calls", ollama, vllm, fail=step)
    return compared(
        "tool calls", ollama, vllm, warn=f"{step}; until then no service may use tools with {found.model.alias}"
    )


def _called(said: Said) -> str:
    """How an engine answered a request with a tool."""
    if not said.ok:
        return f"HTTP {said.status}, {said.problem[:90]}"
    if not said.calls:
        return f"text and no call: {said.text[:30]!r} ({said.finish})"
    function = said.calls[0].get("function")
    arguments = function.get("arguments") if isinstance(function, dict) else None
    try:
        parsed = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        parsed = None
    return (
        "a call" if isinstance(parsed, dict) and isinstance(parsed.get("city"), str) else f"a call with {arguments!r}"
    )


async def images(found: Wire) -> Finding:
    """An image for a model that cannot see: our client must refuse it itself, because Ollama would not."""
    said = Message(role=Role.USER, content="What is this?", images=(Image(media_type="image/png", data=PIXEL),))
    asked = request(found, (said,), max_tokens=1)
    sees = Capability.VISION in found.model.capabilities
    ours = {e: refusal(asked, found.model, engine=e) for e in ("ollama", "vllm")}
    body = {
        "model": found.model.names["ollama"], "stream": False,
        "options": {"num_ctx": found.model.context, "num_predict": 1},
        "messages": [{"role": "user", "content": "What is this?", "images": [PIXEL]}],
    }  # fmt: skip
    ollama = await found.ollama("/api/chat", body)
    vllm = from_openai(await found.vllm("/v1/chat/completions", vllm_body(found, asked, found.model.names["vllm"])))
    told = (f"HTTP {ollama.status}", f"HTTP {vllm.status}")
    if not sees and not all(ours.values()):
        return compared("images refused", *told, fail="the client would send an image; mend services/llm/mapping.py")
    if not sees and vllm.ok:
        step = f"vLLM takes images with {found.model.alias}; if the model sees, add `vision` in models.toml"
        return compared("images refused", *told, warn=step)
    if sees and not (vllm.ok and ollama.ok):
        return compared("images refused", *told, fail="the registry says that the model sees, and an engine refuses")
    return compared("images refused", *(f"{t}; our client {'sends' if sees else 'refuses'}" for t in told))


async def seeds(found: Wire) -> Finding:
    """The same seed twice at temperature 1: equal within an engine, or runs there cannot be repeated."""
    asked = request(found, user("Invent a name for a boat."), max_tokens=8, temperature=1.0, seed=7)
    texts = [tuple(s.text for s in await both(found, asked)) for _ in range(2)]
    same = [texts[0][i] == texts[1][i] for i in (0, 1)]
    told = (f"{texts[0][i][:24]!r}" + ("" if same[i] else f", then {texts[1][i][:24]!r}") for i in (0, 1))
    loose = _of((not same[0], not same[1]))
    warn = f"{loose} does not repeat a seed: compare its sampled answers by many, never one by one" if loose else ""
    return compared("seed repeats", *told, warn=warn)


async def needle(found: Wire) -> Finding:
    """Not asked: filling a window takes an engine without a GPU minutes, and Ollama has one place for all."""
    window = found.model.context
    return compared(
        "needle at 95 %", "not asked, it would block the fallback", "not asked",
        warn=f"not checked: put a fact first in a prompt of {int(window * 0.95)} tokens by hand, at a quiet hour",
    )  # fmt: skip


BEHAVIOUR = (stops, cuts_schema, tools, images, seeds, needle)
