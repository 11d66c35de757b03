"""Every foreign exception is one of our five classes; the table is checked row by row."""

from __future__ import annotations

import contextlib
import inspect
from types import ModuleType
from typing import Any

import httpx
import httpx2
import ollama as ollama_sdk
import openai
import pytest

from services.llm.errors import BusyError, CallerError, ConfigError, ContextTooLong, DeadError, LLMError, from_status
from services.llm.providers import ollama, openai_compat, openai_wire
from tests.recorded.played import Played, Row
from tests.unit.llm.conftest import ask

NOT_OURS = {
    openai.LengthFinishReasonError,  # only raised by the SDK's parsing helpers, which we do not call
    openai.ContentFilterFinishReasonError,
    openai.InvalidWebhookSignatureError,
    openai.OAuthError,  # only with workload identity, which we do not use
    openai._exceptions.SubjectTokenProviderError,  # the same
    openai.WebSocketConnectionClosedError,  # we open no websocket
    openai.WebSocketQueueFullError,
    openai._AmbiguousModuleClientUsageError,  # we use no module-level client
    openai.OpenAIError,  # the base itself; raised where no key is given, and we give one
    httpx.CookieConflict,  # we keep no cookies
    httpx2.CookieConflict,
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, ConfigError) for status in (301, 302, 303, 307, 308)),
        *((status, CallerError) for status in (400, 406, 411, 412, 413, 414, 415, 416, 418, 422, 424, 431, 451, 499)),
        *((status, ConfigError) for status in (401, 402, 403, 404, 405, 407, 410, 421, 426, 501, 505)),
        *((status, BusyError) for status in (409, 423, 425, 429, 503, 529)),
        *((status, DeadError) for status in (408, 500, 502, 504, 507, 520, 599)),
    ],
)
def test_status_table(status: int, expected: type[LLMError]) -> None:
    """Each HTTP status has exactly one class, and no class that trips is the caller's."""
    error = from_status(status, "said so", provider="vllm", retry_after_s=7.0)

    assert type(error) is expected
    assert (error.status, error.detail.endswith("said so")) == (status, True)
    assert error.retry_after_s == (7.0 if expected is BusyError else None)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"code": "content_filter", "message": "flagged"}, CallerError),
        (403, {"code": "content_policy_violation", "message": "flagged"}, CallerError),
        (400, {"code": "context_length_exceeded", "message": "long"}, ContextTooLong),
        (413, {"param": "input_tokens", "message": "long"}, ContextTooLong),
        (429, {"code": "insufficient_quota", "message": "pay"}, ConfigError),
        (429, {"code": "rate_limit_exceeded", "message": "slow"}, BusyError),
        (400, {"message": "needs --tool-call-parser to be set", "param": None}, ConfigError),
        (500, {"message": "about --tool-call-parser"}, DeadError),
        (404, {"detail": "Not Found"}, ConfigError),
        (500, "Internal Server Error", DeadError),
        (502, None, DeadError),
        (400, ["nonsense"], CallerError),
    ],
)
def test_a_body_is_read_where_the_status_says_too_little(status: int, body: object, expected: type[LLMError]) -> None:
    """OpenAI's own codes, vLLM's param and flags; what is no such body is judged by its status."""
    error = openai_wire.error_of(status, body, provider="vllm")

    assert type(error) is expected


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (500, "invalid JSON schema in format", CallerError),
        (-1, "invalid JSON schema in format", CallerError),
        (500, 'option "temperature" must be of type float32', CallerError),
        (500, "llama runner process has terminated", DeadError),
        (-1, "an error was encountered while running the model", DeadError),
        (400, "input length exceeds maximum context length", ContextTooLong),
        (500, "the request exceeds the available context size", ContextTooLong),
        (400, "m does not support tools", CallerError),
        (404, 'model "m" not found, try pulling it first', ConfigError),
        (404, "404 page not found", ConfigError),
        (503, "server busy, please try again.  maximum pending requests exceeded", BusyError),
        (502, "<html>Bad Gateway</html>", DeadError),
        (400, '{"error": {"message": "as an object"}}', CallerError),
        (400, '{"error": null}', CallerError),
    ],
)
def test_what_ollama_says_is_read_before_its_status(status: int, said: str, expected: type[LLMError]) -> None:
    """It says 500 where a request is wrong, and nothing but words inside a stream."""
    error = ollama.translate(ollama_sdk.ResponseError(said, status), provider="ollama")

    assert type(error) is expected
    assert error.status == (status if status > 0 else None)


def exceptions_of(module: object, base: type[BaseException]) -> list[type[BaseException]]:
    found = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)]
    return sorted(set(found), key=lambda c: c.__name__)


def made(kind: type[BaseException], module: ModuleType) -> Exception:
    """One instance of any exception class, however it is made."""
    library: Any = httpx if module in (ollama_sdk, httpx) else httpx2
    request = library.Request("POST", "http://engine")
    response = library.Response(getattr(kind, "status_code", 500) or 500, request=request)
    known = {
        "request": request,
        "response": response,
        "body": None,
        "status_code": 500,
        "message": "said so",
        "error": "said so",
        "error_message": "said so",
        "encoding": "utf-8",
    }
    wanted = inspect.signature(kind).parameters.values()
    given = {p.name: known.get(p.name, "said so") for p in wanted if p.kind is not p.VAR_POSITIONAL}
    if any(p.kind is p.POSITIONAL_ONLY for p in wanted) or "args" in given or "kwargs" in given:
        return kind("said so")  # type: ignore[return-value]
    return kind(**given)  # type: ignore[return-value]


OPENAI = [(openai, c) for m in (openai, openai._exceptions) for c in exceptions_of(m, Exception)]
OPENAI += [(httpx2, c) for c in exceptions_of(httpx2, Exception)]
OLLAMA = [(ollama_sdk, c) for c in exceptions_of(ollama_sdk, Exception)]
OLLAMA += [(httpx, c) for c in exceptions_of(httpx, Exception)]
THEIRS = [(openai_compat, m, c) for m, c in OPENAI] + [(ollama, m, c) for m, c in OLLAMA]
THEIRS = sorted(set(THEIRS), key=lambda case: (case[1].__name__, case[2].__name__))
NAMES = [f"{m.__name__}.{c.__name__}" for _, m, c in THEIRS]


@pytest.mark.parametrize(("adapter", "module", "kind"), THEIRS, ids=NAMES)
def test_every_foreign_exception_has_a_row(adapter: Any, module: ModuleType, kind: type[Exception]) -> None:
    """Caught by its adapter and known to its table: none, but for the listed ones, ends in the table's last line."""
    if kind in NOT_OURS:
        return
    exc = made(kind, module)
    error = adapter.translate(exc, provider="vllm")

    assert isinstance(exc, adapter.FOREIGN)
    assert not error.detail.startswith(f"{kind.__name__}: ") or isinstance(error, DeadError)


def test_the_list_of_what_cannot_happen_is_no_longer_than_needed() -> None:
    """Each of its classes still exists in a library."""
    assert {kind for _, _, kind in THEIRS} >= NOT_OURS


def test_context_length_is_told_by_param_not_by_words() -> None:
    """vLLM names the field; that makes it the caller's error that never falls back."""
    body = {"message": "whatever the words", "param": "input_tokens", "code": 400}
    response = httpx2.Response(400, request=httpx2.Request("POST", "http://engine"))
    error = openai_compat.translate(openai.BadRequestError("no", response=response, body=body), provider="vllm")

    assert type(error) is ContextTooLong


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-1", None), ("", None), ("9" * 400, None)]
)
async def test_both_adapters_hand_on_when_to_come_back(header: str, seconds: float | None) -> None:
    """From the header of a 503, where it is a number of seconds; the ollama SDK hides it in what it was handling."""
    waits: list[float | None] = []
    for engine in ("vllm", "ollama"):
        row = Row(engine=engine, name="", request={"body": {}}, status=503, headers={"Retry-After": header}, body=b"{}")
        async with contextlib.aclosing(Played(row, engine).provider()) as provider:
            with pytest.raises(BusyError) as caught:
                await provider.chat(ask())
        waits.append(caught.value.retry_after_s)

    assert waits == [seconds, seconds]
