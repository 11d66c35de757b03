"""What a service asks and what it gets back: requests, answers, stream events. Values only, no I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.llm.errors import LLMError

JSONSchema = Mapping[str, Any]


def is_text(text: str) -> bool:
    """Whether `text` can be encoded: JSON may name half of a surrogate pair, and Python takes that in silence."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Role(enum.StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class Finish(enum.StrEnum):
    """Why the engine stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    TOOLS = "tools"  # it wants tools called
    FILTERED = "filtered"  # it declined to go on; asking another engine would only go round the refusal
    CUT = "cut"  # it did not: the stream broke


class Outcome(enum.StrEnum):
    """How a stream ended, for the person who reads it."""

    COMPLETE = "complete"
    RESCUED = "rescued"
    PARTIAL = "partial"


class Rescue(enum.StrEnum):
    """What to do when a stream breaks after its first content token.

    `RESTART` voids what was shown and begins anew; `CONTINUE` has the next provider write on from there, once.
    """

    NONE = "none"
    RESTART = "restart"
    CONTINUE = "continue"


class Priority(enum.IntEnum):
    """Who goes first where requests wait, and who gives way where no room is left to wait."""

    INTERACTIVE = 0
    BATCH = 1


class ToolChoice(enum.StrEnum):
    """Whether the model may, must not or must call a tool. A tool's name in its place asks for that tool."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of a message. `data` is base64; never a URL, which an engine would fetch."""

    media_type: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may ask for. `parameters` is the JSON schema of its arguments, always strict."""

    name: str
    description: str
    parameters: JSONSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model asked for. `id` ties its result to it."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. An assistant's may hold `tool_calls`; a tool's answers the call `call` with its id and name."""

    role: Role
    content: str
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    call: ToolCall | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Every sampling field, always sent, because the engines' own defaults differ three ways.

    `max_tokens` is the limit of new tokens. `top_k` 0 and `min_p` 0.0 mean off. `stop` holds at most four strings,
    vLLM's limit.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One request of a service, tries included.

    `key` makes the canary sticky (a user, a document); `first` pins the provider asked first, for measuring.
    `prefill` is the beginning of the answer, which the model continues and the answer's text leaves out.
    `repairs` is how often a provider may be asked again about a document that does not fit the schema.
    `traceparent` is the W3C header of whoever this is done for.
    """

    service: str
    alias: str
    messages: tuple[Message, ...]
    sampling: Sampling
    deadline_s: float
    schema: JSONSchema | None = None
    key: str = ""
    first: str | None = None
    rescue: Rescue = Rescue.NONE
    request_id: str = ""
    priority: Priority = Priority.INTERACTIVE
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | str = ToolChoice.AUTO
    thinking: bool = False
    prefill: str = ""
    repairs: int = 0
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the engine counted them; None where it did not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one provider. `error` is None when it answered; times in seconds.

    `dropped` names the parameters of the request that this provider has no word for; `longest_gap_s` is the longest
    silence between two tokens of a stream. `started_s` counts from the request; `span_id` is empty without a trace.
    """

    provider: str
    model: str
    error: LLMError | None
    duration_s: float
    first_token_s: float | None = None
    longest_gap_s: float | None = None
    usage: Usage | None = None
    repair: bool = False
    dropped: tuple[str, ...] = ()
    started_s: float = 0.0
    finish: Finish | None = None
    span_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A provider of the chain that was not tried, and why."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Who answered, after which attempts. `fallback_reason` is None when the first provider of the chain answered.

    `digest` is what the provider told of its weights (`identity`), empty where it told nothing yet.
    """

    request_id: str
    provider: str
    engine: str
    model: str
    attempts: tuple[Attempt, ...]
    skipped: tuple[Skip, ...] = ()
    fallback_reason: str | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. `first_token_s` and `duration_s` count from the request, failed tries included."""

    text: str
    finish: Finish
    usage: Usage
    provenance: Provenance
    duration_s: float
    first_token_s: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Some content of a stream; never empty, not always exactly one token."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """The tokens so far are void: their provider broke off, the next one starts over (the service opted in)."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """The tokens so far stand: their provider broke off, and the next one writes on (the service opted in)."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Always the last event of a stream. `error` says what broke when the outcome is `partial`."""

    outcome: Outcome
    answer: Answer
    error: LLMError | None = None


StreamEvent = Token | Restarted | Continued | End


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One frame of a provider's stream, already in our words.

    `at_work` marks one without text that shows the model writing: thinking, or a tool call that is not whole yet.
    """

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    at_work: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One provider's whole answer."""

    text: str
    finish: Finish
    usage: Usage = field(default_factory=Usage)
    tool_calls: tuple[ToolCall, ...] = ()
    thinking: str = ""
