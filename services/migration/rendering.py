"""Compares how both engines turn messages into a prompt: by token counts first, by the text where those differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.llm.mapping import openai_arguments
from services.llm.registry import Capability
from services.llm.types import ChatRequest, Message, Role, Tool, ToolCall
from services.migration.doctor_wire import Wire
from services.migration.findings import Finding, compared
from services.migration.parity import version_of
from services.migration.probes import ask_ollama, both, request, user

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
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = Tool(name="get_weather", description="Tells the weather of a city.", parameters=CITY)
CALL = ToolCall(id="call_1", name="get_weather", arguments={"city": "Oslo"})
TOOL_SHAPES: Mapping[str, tuple[Message, ...]] = {
    "tools": (SYSTEM, Message(role=Role.USER, content="What is the weather in Oslo?")),
    "tool result": (
        SYSTEM, Message(role=Role.USER, content="What is the weather in Oslo?"),
        Message(role=Role.ASSISTANT, content="", tool_calls=(CALL,)),
        Message(role=Role.TOOL, content="4 degrees, rain", call=CALL),
    ),
}  # fmt: skip
TEMPLATE_HINT = (
    "give both engines the same chat template (vLLM --chat-template, Ollama TEMPLATE), then run the doctor again"
)
RENDERS_SINCE = (0, 12)
"""Ollama tells a rendered prompt (`_debug_render_only`) since 0.11.5; of 0.11 we do not know the patch."""

SHOWN_CHARS = 220


async def rendering(found: Wire) -> list[Finding]:
    """R1 to R5 of the reference, at one token each."""
    said = [await _count(found, shape, messages) for shape, messages in SHAPES.items()]
    said += [await _tool_count(found, shape, messages) for shape, messages in TOOL_SHAPES.items()]
    return [*said, await _begins_once(found), await _tools_rendered(found), await _thinking(found)]


async def _count(found: Wire, shape: str, messages: tuple[Message, ...]) -> Finding:
    """The same messages must be the same number of prompt tokens: the cheapest and best sign of the same prompt."""
    asked = request(found, messages, max_tokens=1)
    first, second = await both(found, asked)
    check = f"prompt tokens, {shape}"
    ours, theirs = first.prompt_tokens, second.prompt_tokens
    if ours is None or theirs is None:
        return compared(check, ours, theirs, fail="an engine does not count prompt tokens; same work cannot be shown")
    if ours == theirs:
        return compared(check, ours, theirs)
    shown = (f"{ours}: {await _seen_by_ollama(found, asked)}", f"{theirs}: {await _seen_by_vllm(found, asked)}")
    if shape == "user only":  # a template's own system message; the services always send theirs
        return compared(check, *shown, warn="a template adds its own system message; always send one")
    return compared(check, *shown, fail=TEMPLATE_HINT)


async def _seen_by_vllm(found: Wire, asked: ChatRequest) -> str:
    """The prompt as vLLM's tokenizer reads it back."""
    tokens = (await tokenized(found, asked)).get("tokens")
    body = {"model": found.model.names["vllm"], "tokens": tokens if isinstance(tokens, list) else []}
    text = str((await found.vllm("/detokenize", body)).body.get("prompt") or "not told")
    return repr(text[:SHOWN_CHARS])


async def _seen_by_ollama(found: Wire, asked: ChatRequest) -> str:
    """The rendered prompt where this Ollama tells it, else its TEMPLATE."""
    version = version_of(str((await found.ollama("/api/version")).body.get("version") or ""))
    if version is not None and version >= RENDERS_SINCE:
        messages = openai_arguments(asked, found.model)["messages"]
        body = {"model": found.model.names["ollama"], "messages": messages, "stream": False, "_debug_render_only": True,
                "options": {"num_ctx": found.model.context, "num_predict": 1}}  # fmt: skip
        info = (await found.ollama("/api/chat", body)).body.get("_debug_info")
        if isinstance(info, dict) and info.get("rendered_template"):
            return repr(str(info["rendered_template"])[:SHOWN_CHARS])
    shown = (await found.ollama("/api/show", {"model": found.model.names["ollama"]})).body
    return f"TEMPLATE {str(shown.get('template') or 'not told')[:SHOWN_CHARS]!r}"


async def tokenized(found: Wire, asked: ChatRequest, **more: Any) -> Mapping[str, Any]:
    """vLLM's own count of a request's prompt, without generating; needs no tool parser."""
    arguments = openai_arguments(asked, found.model)
    body: dict[str, Any] = {"model": arguments["model"], "messages": arguments["messages"], **more}
    if asked.tools:
        body["tools"] = arguments["tools"]
    return (await found.vllm("/tokenize", body)).body


def with_tools(asked: ChatRequest) -> ChatRequest:
    return replace(asked, tools=(TOOL,))


async def _tool_count(found: Wire, shape: str, messages: tuple[Message, ...]) -> Finding:
    """Tools in the prompt; nothing to compare where an engine's template has no words for them."""
    asked = with_tools(request(found, messages, max_tokens=1))
    first = await ask_ollama(found, asked, found.model.names["ollama"])
    count = (await tokenized(found, asked)).get("count")
    check, ours = (
        f"prompt tokens, {shape}",
        first.prompt_tokens if first.ok else first.problem or f"HTTP {first.status}",
    )
    if first.ok and first.prompt_tokens == count and count is not None:
        return compared(check, ours, count)
    if first.ok:
        step = TEMPLATE_HINT
    else:
        step = "its TEMPLATE knows no tools on Ollama: a service that needs them has no fallback there"
    return _as_needed(found, Capability.TOOLS, check, ours, "not told" if count is None else count, step)


def _as_needed(found: Wire, what: Capability, check: str, ollama: object, vllm: object, step: str) -> Finding:
    """A failure where the registry says that the model can do it, a warning where no service of ours asks for it."""
    if what in found.model.capabilities:
        return compared(check, ollama, vllm, fail=step)
    return compared(check, ollama, vllm, warn=f"{step} (the registry gives {found.model.alias} no {what})")


async def _begins_once(found: Wire) -> Finding:
    """Two equal first tokens are a begin-of-text token that both the template and the tokenizer added."""
    told = await tokenized(found, request(found, SHAPES["system and user"], max_tokens=1), return_token_strs=True)
    tokens, words = told.get("tokens"), told.get("token_strs")
    if not isinstance(tokens, list) or len(tokens) < 2:
        return compared(
            "begins once", "not told by its API", "no /tokenize",
            warn="vLLM does not tell tokens: see by hand that a prompt begins with one begin-of-text token",
        )  # fmt: skip
    begin = words[:2] if isinstance(words, list) else tokens[:2]
    fail = "the chat template writes a begin-of-text token that the tokenizer adds as well: take it out of the template"
    doubled = tokens[0] == tokens[1]
    return compared("begins once", "by equal counts", f"begins {begin}", fail=fail if doubled else "")


async def _tools_rendered(found: Wire) -> Finding:
    """A template without words for tools drops them, and the model never hears of them."""
    asked = request(found, TOOL_SHAPES["tools"], max_tokens=1)
    counts = [(await tokenized(found, a)).get("count") for a in (asked, with_tools(asked))]
    ollama = [await ask_ollama(found, a, found.model.names["ollama"]) for a in (asked, with_tools(asked))]
    shown = " and ".join(str(s.prompt_tokens) if s.ok else s.problem or f"HTTP {s.status}" for s in ollama)
    vllm = f"{counts[0]} and {counts[1]} tokens"
    if counts[0] is not None and counts[1] is not None and counts[1] > counts[0]:
        return compared("tools in the prompt", shown, vllm)
    step = "vLLM's chat template drops tools without a word: give it one that knows them (--chat-template)"
    return _as_needed(found, Capability.TOOLS, "tools in the prompt", shown, vllm, step)


async def _thinking(found: Wire) -> Finding:
    """Whether thinking can be turned on, and changes the prompt, alike on both."""
    shown = (await found.ollama("/api/show", {"model": found.model.names["ollama"]})).body
    can = shown.get("capabilities")
    ollama_can = isinstance(can, Sequence) and "thinking" in can
    asked = request(found, user("Say hello."), max_tokens=1)
    kwargs = [{"chat_template_kwargs": {"enable_thinking": on}} for on in (True, False)]
    counts = [(await tokenized(found, asked, **more)).get("count") for more in kwargs]
    vllm_can = counts[0] != counts[1]
    told = ("thinks by default" if ollama_can else "does not think", f"{counts[0]} tokens with, {counts[1]} without")
    needed = Capability.THINKING in found.model.capabilities
    if ollama_can == vllm_can == needed:
        return compared("thinking", *told)
    step = (
        f"the registry {'says' if needed else 'does not say'} that {found.model.alias} thinks, Ollama "
        f"{'does' if ollama_can else 'does not'}, vLLM's template {'has' if vllm_can else 'has no'} switch for it: set "
        "`thinking` in models.toml and --reasoning-parser so that all three agree"
    )
    return compared("thinking", *told, fail=step if needed else "", warn=step)
