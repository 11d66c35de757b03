"""One request into each engine's own words: every field, and what is refused because an engine cannot honour it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from services.llm.errors import ConfigError, DeadError
from services.llm.mapping import MAX_STOPS, check, finish_of, ollama_arguments, openai_arguments, prompt_bound, refusal
from services.llm.registry import Capability, Model, model
from services.llm.types import ChatRequest, Finish, Message, Role, Sampling, ToolChoice
from tests.unit.llm.conftest import ALIAS, ask
from tests.unit.llm.wishes import ABLE, ARGUMENTS, CALL, CLOCK, ODD, PLAIN, SEEN, USER, WEATHER

AROUND = (
    USER,
    Message(role=Role.ASSISTANT, content="", tool_calls=(CALL,)),
    Message(role=Role.TOOL, content="rain", call=CALL),
)


def to_vllm(request: ChatRequest, known: Model = ABLE) -> dict[str, Any]:
    """All that is sent: the SDK puts `extra_body` beside the rest."""
    told = openai_arguments(request, known)
    return {**told, **told["extra_body"]}


def test_every_sampling_field_has_its_name_on_vllm() -> None:
    """Values as given, and one choice only."""
    told = to_vllm(ask(sampling=ODD, request_id="r-1"))

    assert {k: v for k, v in told.items() if k not in ("extra_body", "messages", "chat_template_kwargs")} == {
        "model": "smollm2-135m",
        "max_tokens": 33,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "seed": 7,
        "n": 1,
        "stop": ["END", "\n\n", "<|im_end|>"],
        "extra_headers": {"X-Request-Id": "r-1"},
    }


def test_every_sampling_field_has_its_name_on_ollama() -> None:
    """Values as given, in the window of the registry, and the penalty over the whole text as on vLLM."""
    told = ollama_arguments(ask(sampling=ODD), ABLE)

    assert told["options"] == {
        "num_ctx": 4096,
        "num_predict": 33,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "repeat_penalty": 1.1,
        "repeat_last_n": -1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "seed": 7,
        "stop": ["END", "\n\n", "<|im_end|>"],
    }
    assert (told["model"], told["keep_alive"], told["format"]) == ("smollm2-135m:latest", -1, None)


def test_no_field_of_sampling_is_forgotten() -> None:
    """A field that is added to the type must be added to both mappings, or this fails."""
    for name in Sampling.__dataclass_fields__:
        change: dict[str, Any] = {name: ("X",) if name == "stop" else 1}
        other = ask(sampling=replace(ODD, **change))
        assert to_vllm(other) != to_vllm(ask(sampling=ODD)), name
        assert ollama_arguments(other, ABLE) != ollama_arguments(ask(sampling=ODD), ABLE), name


def test_the_models_own_stops_are_carried_to_vllm() -> None:
    """Ollama knows those of its Modelfile by itself, until a request names some: then they are all its own."""
    assert to_vllm(ask())["stop"] == ["<|im_end|>"]
    assert "stop" not in to_vllm(ask(), PLAIN)
    assert "stop" not in ollama_arguments(ask(), ABLE)["options"]
    twice = ask(sampling=Sampling(max_tokens=8, stop=("<|im_end|>", "END")))
    assert to_vllm(twice)["stop"] == ollama_arguments(twice, ABLE)["options"]["stop"] == ["<|im_end|>", "END"]


def test_more_stops_than_vllm_takes_are_refused_there_alone() -> None:
    """Four of the request and one of the model are five; Ollama has no such limit."""
    four = ask(sampling=Sampling(max_tokens=8, stop=("a", "b", "c", "d")))
    check(four)

    assert refusal(four, PLAIN, engine="vllm") is None
    assert f"5 stop strings; vLLM takes {MAX_STOPS}" in str(refusal(four, ABLE, engine="vllm"))
    assert refusal(four, ABLE, engine="ollama") is None


def test_a_schema_goes_to_both_in_their_form() -> None:
    """As `response_format`, strict; as `format`."""
    request = ask(schema=ARGUMENTS)

    assert to_vllm(request)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": ARGUMENTS, "strict": True},
    }
    assert ollama_arguments(request, ABLE)["format"] == ARGUMENTS


def test_tools_are_strict_on_vllm_and_plain_on_ollama() -> None:
    """vLLM enforces arguments only where a tool says so; Ollama enforces none, so its answers are checked."""
    request = ask(tools=(WEATHER, CLOCK))
    by_vllm = to_vllm(request)["tools"]
    by_ollama = ollama_arguments(request, ABLE)["tools"]
    weather = {"name": "weather", "description": "The weather of a city.", "parameters": ARGUMENTS}

    assert by_vllm[0] == {"type": "function", "function": {**weather, "strict": True}}
    assert by_ollama[0] == {"type": "function", "function": weather}
    assert (
        [t["function"]["name"] for t in by_vllm] == [t["function"]["name"] for t in by_ollama] == ["weather", "clock"]
    )


NAMED = {"type": "function", "function": {"name": "clock"}}


@pytest.mark.parametrize(
    ("choice", "on_vllm", "sent_to_ollama"),
    [
        (ToolChoice.AUTO, "auto", True),
        (ToolChoice.NONE, "none", False),
        (ToolChoice.REQUIRED, "required", True),
        ("clock", NAMED, True),
    ],
)
def test_tool_choice_is_honoured_or_refused(choice: ToolChoice | str, on_vllm: object, sent_to_ollama: bool) -> None:
    """Ollama takes no heed of it: `none` is honoured by sending no tools, `required` and a name are refused."""
    request = ask(tools=(WEATHER, CLOCK), tool_choice=choice)
    check(request)
    can_ollama = choice in (ToolChoice.AUTO, ToolChoice.NONE)

    assert to_vllm(request)["tool_choice"] == on_vllm
    assert refusal(request, ABLE, engine="vllm") is None
    assert (refusal(request, ABLE, engine="ollama") is None) == can_ollama
    assert ("tools" in ollama_arguments(request, ABLE)) == sent_to_ollama


def test_calls_and_their_results_go_round_on_both() -> None:
    """Arguments as text with an id on vLLM, as an object with a name on Ollama."""
    request = ask(messages=AROUND, tools=(WEATHER,))
    check(request)
    _, asked, result = to_vllm(request)["messages"]
    (call,) = asked["tool_calls"]
    function = call["function"]

    assert (call["id"], call["type"], function["name"]) == ("call_7", "function", "weather")
    assert json.loads(function["arguments"]) == {"city": "Zürich"}
    assert result == {"role": "tool", "content": "rain", "tool_call_id": "call_7"}

    _, asked, result = ollama_arguments(request, ABLE)["messages"]
    assert asked["tool_calls"] == [{"function": {"name": "weather", "arguments": {"city": "Zürich"}}}]
    assert result == {"role": "tool", "content": "rain", "tool_name": "weather"}


def test_images_go_as_data_and_never_as_an_address() -> None:
    """Behind the text as data URLs on vLLM, as bytes on Ollama, whose SDK opens a text that is the path of a file."""
    request = ask(messages=(SEEN,))
    (by_vllm,) = to_vllm(request)["messages"]
    (by_ollama,) = ollama_arguments(request, ABLE)["messages"]
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aVZCT1J3"}}

    assert by_vllm["content"] == [{"type": "text", "text": "What is this?"}, part, part]
    assert by_ollama == {"role": "user", "content": "What is this?", "images": [b"iVBORw", b"iVBORw"]}


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_is_always_said_to_a_model_that_can(thinking: bool) -> None:
    """Both think by default, so off is said as well; to a model that cannot, nothing is (Ollama would refuse)."""
    request = ask(thinking=thinking)

    assert to_vllm(request)["chat_template_kwargs"] == {"enable_thinking": thinking}
    assert ollama_arguments(request, ABLE)["think"] is thinking
    assert "chat_template_kwargs" not in to_vllm(request, PLAIN)
    assert "think" not in ollama_arguments(request, PLAIN)


def test_a_prefill_is_the_last_message_and_is_to_be_continued() -> None:
    """vLLM must be told twice; Ollama's template leaves it open."""
    request = ask(prefill="One, two,")
    check(request)
    begun = {"role": "assistant", "content": "One, two,"}
    told = to_vllm(request)

    assert told["messages"][-1] == ollama_arguments(request, ABLE)["messages"][-1] == begun
    assert (told["continue_final_message"], told["add_generation_prompt"]) == (True, False)
    assert "continue_final_message" not in to_vllm(ask())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"schema": ARGUMENTS}, "schema"),
        ({"tools": (WEATHER,)}, "tools"),
        ({"messages": (SEEN,)}, "vision"),
        ({"thinking": True}, "thinking"),
        ({"prefill": "One"}, "prefill"),
    ],
)
@pytest.mark.parametrize("engine", ["vllm", "ollama"])
def test_each_capability_is_asked_of_the_registry(engine: str, change: dict[str, object], word: str) -> None:
    """Without it the request is refused here, with it it goes: no engine is left to ignore it in silence."""
    request = ask(**change)
    less = replace(ABLE, capabilities=frozenset(Capability) - {Capability(word)})

    assert refusal(request, ABLE, engine=engine) is None
    assert refusal(request, less, engine=engine) == f"{ALIAS} cannot do {word}"


def test_an_alias_without_a_name_there_or_for_embedding_is_refused() -> None:
    """The chain passes over it; sent all the same, it is the set-up's error and not the engine's."""
    embeds = model("smollm2-135m-embed")

    assert refusal(ask(), embeds, engine="vllm") == "smollm2-135m-embed has no name on vllm"
    assert refusal(ask(), embeds, engine="ollama") == "smollm2-135m-embed embeds; it is not for chat"
    with pytest.raises(ConfigError, match="no name on vllm"):
        openai_arguments(ask(), embeds)


def test_a_prompt_is_never_longer_than_its_bound() -> None:
    """Bytes, what a template adds around messages, and what calls, tools and images may take."""
    plain = prompt_bound((USER,))

    assert plain >= len(b"Hi") + 5
    assert prompt_bound((replace(USER, content="日本語"),)) >= len("日本語".encode())
    assert prompt_bound((SEEN,)) > 2 * 4096
    assert prompt_bound(AROUND) > prompt_bound((USER,)) + len("Zürich")
    assert prompt_bound((USER,), (WEATHER,)) > plain + len(json.dumps(ARGUMENTS)) / 2


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stop", Finish.STOP),
        ("length", Finish.LENGTH),
        ("tool_calls", Finish.TOOLS),
        ("content_filter", Finish.FILTERED),
        (None, None),
        ("", None),
    ],
)
def test_finish_words(said: str | None, meant: Finish | None) -> None:
    """Both engines' words are ours; none means that it still writes."""
    assert finish_of(said, provider="vllm") is meant


@pytest.mark.parametrize("said", ["load", "unload", "abort", "error", "STOP"])
def test_an_unknown_finish_word_is_nonsense(said: str) -> None:
    """Taking it for `stop` would show a broken answer as a whole one."""
    with pytest.raises(DeadError):
        finish_of(said, provider="vllm")
