"""Each recorded answer of the two real engines, through the real adapter: what it becomes, row by row."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import pytest

from services.llm.breaker import State
from services.llm.build import assemble
from services.llm.client import LLMClient
from services.llm.documents import check_completion
from services.llm.errors import CallerError, ConfigError, ContextTooLong, DeadError, ErrorType, LLMError, PartialError
from services.llm.mapping import check, refusal
from services.llm.registry import model
from services.llm.spaces import EmbedRequest, check_vectors
from services.llm.types import ChatRequest, End, Finish, Image, Message, Outcome, Role, Sampling, Tool
from tests.recorded.asked import ASKED_OF_OLLAMA, ASKED_OF_VLLM, SCHEMA, Asked
from tests.recorded.played import Played, Row, answered, recording
from tests.unit.llm.conftest import ALIAS, ask


@dataclass(frozen=True)
class Said:
    """An answer. `text` is None where the engine drew it at random."""

    text: str | None
    finish: Finish
    prompt_tokens: int


@dataclass(frozen=True)
class No:
    """An error: its exact class, its label and the status it carries."""

    kind: type[LLMError]
    type: ErrorType
    status: int | None


GREETING = "Hello! I'm here to help with any math or science-related questions. What can I help you with?"
TO_MATH = "Hello! I'm here to help with any "
EIGHT = "Hello! I'm here to help with"
DOCUMENT = '{\n  "colour"\n\n:\n\n"mauve"\n\n}'
NUMBERS = " three, four, five, six, seven, eight,"
STOP, LENGTH = Finish.STOP, Finish.LENGTH
HELLO_TOKENS, COUNT_TOKENS, BEGUN_TOKENS, DOCUMENT_TOKENS = 21, 43, 30, 25
CALLER = No(CallerError, ErrorType.HTTP_4XX, 400)
FLAGS = No(ConfigError, ErrorType.HTTP_4XX, 400)
TOO_LONG = No(ContextTooLong, ErrorType.CONTEXT_LENGTH, 400)
NO_MODEL = No(ConfigError, ErrorType.MODEL_NOT_FOUND, 404)
NO_PATH = No(ConfigError, ErrorType.HTTP_4XX, 404)
NO_METHOD = No(ConfigError, ErrorType.HTTP_4XX, 405)
CALLER_500 = No(CallerError, ErrorType.HTTP_4XX, 500)

BOTH: dict[str, Said | No] = {
    "whole answer": Said(GREETING, STOP, HELLO_TOKENS),
    "stream": Said(GREETING, STOP, HELLO_TOKENS),
    "finish length": Said("The answer is", LENGTH, COUNT_TOKENS),
    "stream, finish length": Said("The answer is", LENGTH, COUNT_TOKENS),
    "stop string": Said(TO_MATH, STOP, HELLO_TOKENS),
    "schema document": Said(DOCUMENT, STOP, HELLO_TOKENS),
    "schema document in a stream": Said(DOCUMENT, STOP, HELLO_TOKENS),
    "schema cut by max_tokens": Said("{\n ", LENGTH, HELLO_TOKENS),
    "prefill": Said(NUMBERS, LENGTH, BEGUN_TOKENS),
    "prefill in a stream": Said(NUMBERS, LENGTH, BEGUN_TOKENS),
    "unknown role": Said("Hi, I'm here to help with", LENGTH, 11),
    "unknown model": NO_MODEL,
    "unknown path": NO_PATH,
    "wrong method": NO_METHOD,
    "body that is no JSON": CALLER,
}
EXPECTED: dict[str, dict[str, Said | No]] = {
    "vllm": {
        **BOTH,
        "stop string in a stream": Said(TO_MATH, STOP, HELLO_TOKENS),
        "no model named": Said(EIGHT, LENGTH, HELLO_TOKENS),
        "prompt too long": TOO_LONG,
        "prompt too long, streamed": TOO_LONG,
        "max_tokens above the window": CALLER,
        "max_tokens 0": CALLER,
        "temperature out of range": CALLER,
        "bad schema": CALLER,
        "bad schema, streamed": CALLER,  # as an event, after a 200
        "five stop strings": CALLER,
        "tools, auto, no parser flags": FLAGS,
        "tools, required, no parser flags": FLAGS,
        "tools, named, no parser flags": FLAGS,
        "tools, none, no parser flags": Said(EIGHT, LENGTH, HELLO_TOKENS),
        "image on a text model": CALLER,
        "thinking off on a model that has none": Said(EIGHT, LENGTH, HELLO_TOKENS),
        "two choices": CALLER,
        "logprobs": Said("The answer", LENGTH, COUNT_TOKENS),
        "no messages": CALLER,
        "role tool": Said("You've done it!", STOP, 33),
        "prefill with a schema": Said('{"colour": "mauve"}', STOP, DOCUMENT_TOKENS),
        "prefill with both flags": CALLER,
        "embeddings on a generate server": NO_PATH,
        "tokenize, unknown model": NO_MODEL,
    },
    "ollama": {
        **BOTH,
        "unknown model, streamed": NO_MODEL,
        "no model named": CALLER,
        "temperature out of range": Said(None, LENGTH, HELLO_TOKENS),
        "option of a wrong type": CALLER_500,
        "bad schema": CALLER_500,
        "bad schema, streamed": No(CallerError, ErrorType.HTTP_4XX, None),  # a line behind a 200
        "format that is no schema": CALLER_500,
        "five stop strings": Said("H", STOP, HELLO_TOKENS),
        "tools on a template without them": CALLER,
        "tools on a template without them, streamed": CALLER,
        "image on a text model": Said("This is a type of edible plant known", LENGTH, 18),
        "think on a model that does not": CALLER,
        "think off on a model that does not": Said(EIGHT, LENGTH, HELLO_TOKENS),
        "n and logprobs": Said(EIGHT, LENGTH, HELLO_TOKENS),
        "no messages": No(DeadError, ErrorType.BAD_RESPONSE, None),  # it only loads; `check` lets none through
        "role tool": Said("You've got a completed task!", STOP, 33),
        "prefill with a schema": Said('{"colour": "mauve"}\n\n', STOP, DOCUMENT_TOKENS),
        "embed, unknown model": NO_MODEL,
        "embed, text beyond the window": TOO_LONG,
    },
}
ELSEWHERE = {"vllm": {"tokenize", "models"}, "ollama": {"running models", "embed"}}
"""Rows that are no chat; their own tests are below."""

ROWS = {engine: recording(engine) for engine in EXPECTED}
CASES = [pytest.param(ROWS[e][n], want, id=f"{e}: {n}") for e, rows in EXPECTED.items() for n, want in rows.items()]
ERRORS = [(ROWS[e][n], want) for e, rows in EXPECTED.items() for n, want in rows.items() if isinstance(want, No)]


def errors_of(*kinds: type[LLMError]) -> pytest.MarkDecorator:
    chosen = [pytest.param(row, want, id=f"{row.engine}: {row.name}") for row, want in ERRORS if want.kind in kinds]
    return pytest.mark.parametrize(("row", "want"), chosen)


@pytest.mark.parametrize(("engine", "asked"), [("vllm", ASKED_OF_VLLM), ("ollama", ASKED_OF_OLLAMA)])
def test_every_request_has_a_recording_and_every_recording_an_expectation(
    engine: str, asked: tuple[Asked, ...]
) -> None:
    """A row that nobody reads proves nothing, and one asked otherwise today proves something else."""
    assert set(ROWS[engine]) == set(EXPECTED[engine]) | ELSEWHERE[engine]
    assert {a.name: (a.method, a.path, a.body) for a in asked} == {
        name: (r.request["method"], r.request["path"], r.request["body"]) for name, r in ROWS[engine].items()
    }


@pytest.mark.parametrize(("row", "want"), CASES)
async def test_a_recorded_answer_becomes_what_the_table_says(row: Row, want: Said | No) -> None:
    """Text, finish and prompt tokens; or the exact class of error, its label and status."""
    if isinstance(want, Said):
        completion = await answered(row, ask())
        assert want.text in (None, completion.text)
        assert (completion.finish, completion.usage.prompt_tokens) == (want.finish, want.prompt_tokens)
        return
    with pytest.raises(LLMError) as caught:
        await answered(row, ask())
    assert (type(caught.value), caught.value.type, caught.value.status) == (want.kind, want.type, want.status)
    assert caught.value.provider == row.engine
    assert caught.value.detail


def first_and_other(row: Row) -> tuple[Played, Played]:
    """The row's engine and behind it the other one, in good health, under the names that make this order."""
    other = "ollama" if row.engine == "vllm" else "vllm"
    return Played(row, "vllm"), Played(ROWS[other]["whole answer"], "ollama")


def between(played: Played, other: Played) -> LLMClient:
    return assemble((played.provider(), other.provider()), service="notes", alias=ALIAS, pin="vllm")


@errors_of(CallerError, ContextTooLong)
async def test_a_callers_error_stops_at_the_engine_that_found_it(row: Row, want: No) -> None:
    """The other engine is not asked, so it cannot cut the prompt in silence; and nobody is held to be ill."""
    played, other = first_and_other(row)
    async with between(played, other) as client:
        for _ in range(4):
            with pytest.raises(want.kind):
                if row.is_stream:
                    await anext(client.stream(ask()))
                else:
                    await client.chat(ask())
        breakers = [link.breaker.state for link in client.links.values()]

    assert (played.generating, other.generating) == (4, 0)
    assert breakers == [State.CLOSED, State.CLOSED]


@errors_of(ConfigError)
async def test_a_wrong_set_up_falls_back_and_trips_nothing(row: Row, want: No) -> None:
    """The next provider answers; the first is asked again each time, since it is not ill."""
    played, other = first_and_other(row)
    async with between(played, other) as client:
        answers = [await client.chat(ask()) for _ in range(4)]
        breakers = [link.breaker.state for link in client.links.values()]

    assert {(a.text, a.provenance.fallback_reason) for a in answers} == {(GREETING, str(want.type))}
    assert (played.generating, other.generating) == (4, 4)
    assert breakers == [State.CLOSED, State.CLOSED]


LATE = {
    "vllm": b'data: {"error": {"message": "Grammar error", "code": 400}}\n\ndata: [DONE]\n\n',
    "ollama": b'{"error":"invalid JSON schema in format"}\n',
}


@pytest.mark.parametrize("engine", ["vllm", "ollama"])
async def test_a_callers_error_behind_the_first_words_ends_the_stream_and_trips_nothing(engine: str) -> None:
    """The reader has a beginning: the end says so, and the other engine is not asked."""
    whole = ROWS[engine]["stream"]
    begun = b"".join(whole.body.splitlines(keepends=True)[:6])
    played, other = first_and_other(replace(whole, body=begun + LATE[engine]))
    async with between(played, other) as client:
        *_, last = [event async for event in client.stream(ask())]
        breakers = [link.breaker.state for link in client.links.values()]

    assert isinstance(last, End)
    assert last.outcome is Outcome.PARTIAL
    assert last.error is not None
    assert last.error.type is ErrorType.HTTP_4XX
    assert last.answer.text
    assert (played.generating, other.generating, breakers) == (1, 0, [State.CLOSED, State.CLOSED])


@pytest.mark.parametrize("engine", ["vllm", "ollama"])
async def test_a_recorded_cut_document_is_no_answer(engine: str) -> None:
    """Both engines call half a document a success, with `length`."""
    request = ask(schema=SCHEMA, sampling=Sampling(max_tokens=2))
    completion = await answered(ROWS[engine]["schema cut by max_tokens"], request)

    with pytest.raises(PartialError, match="max_tokens=2"):
        check_completion(request, completion, provider=engine)


@pytest.mark.parametrize("engine", ["vllm", "ollama"])
async def test_a_recorded_whole_document_is_an_answer(engine: str) -> None:
    """White space as the model likes it, and a value that it would not have chosen freely."""
    request = ask(schema=SCHEMA)
    check_completion(request, await answered(ROWS[engine]["schema document"], request), provider=engine)


SWALLOWED: dict[str, ChatRequest] = {
    "temperature out of range": ask(sampling=Sampling(max_tokens=8, temperature=5)),
    "five stop strings": ask(sampling=Sampling(max_tokens=8, stop=("a", "b", "c", "d", "e"))),
    "no messages": ask(messages=()),
    "prefill with a schema": ask(prefill='{"colour": "', schema=SCHEMA),
    "image on a text model": ask(
        messages=(Message(role=Role.USER, content="?", images=(Image(media_type="image/png", data="AA=="),)),)
    ),
    "tools on a template without them": ask(tools=(Tool(name="paint", description="", parameters=SCHEMA),)),
    "think on a model that does not": ask(thinking=True),
}


@pytest.mark.parametrize("name", SWALLOWED)
def test_what_an_engine_swallows_or_refuses_never_reaches_it(name: str) -> None:
    """Each of these was sent to Ollama for the recording; from a service it stops at our own door."""
    assert name in ROWS["ollama"]
    request = SWALLOWED[name]
    problem = None
    with contextlib.suppress(CallerError):
        check(request)
        problem = refusal(request, model(ALIAS), engine="ollama")
        assert problem
    assert problem is None or "cannot do" in problem


async def test_recorded_vectors_are_of_the_registrys_space() -> None:
    """Two texts, two vectors of 576 components and length 1, and the tokens they took."""
    entry = model("smollm2-135m-embed")
    assert entry.space is not None
    request = EmbedRequest(service="rag", alias=entry.alias, texts=("a wall", "a house"), deadline_s=5)
    async with contextlib.aclosing(Played(ROWS["ollama"]["embed"], "ollama").provider()) as provider:
        vectors = await provider.embed(request)

    check_vectors(vectors, request, entry.space, provider="ollama")
    assert vectors.usage.prompt_tokens == 4


async def test_recorded_token_count_is_read() -> None:
    """vLLM's own `/tokenize`, and what it says of a model that it does not have."""
    async with contextlib.aclosing(Played(ROWS["vllm"]["tokenize"], "vllm").provider()) as provider:
        assert await provider.count_tokens(ALIAS, ask().messages) == HELLO_TOKENS  # type: ignore[union-attr]
    async with contextlib.aclosing(Played(ROWS["vllm"]["tokenize, unknown model"], "vllm").provider()) as provider:
        with pytest.raises(ConfigError):
            await provider.count_tokens(ALIAS, ask().messages)  # type: ignore[union-attr]


async def test_recorded_running_models_are_read() -> None:
    """`/api/ps` names the model that is in memory."""
    async with contextlib.aclosing(Played(ROWS["ollama"]["running models"], "ollama").provider()) as provider:
        assert await provider.is_loaded(ALIAS)  # type: ignore[union-attr]
