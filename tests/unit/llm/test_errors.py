"""Every foreign exception is one of our five classes; the table is checked row by row."""

from __future__ import annotations

import inspect

import httpx
import httpx2
import ollama as ollama_sdk
import openai
import pytest

from services.llm.errors import BusyError, CallerError, ConfigError, ContextTooLong, DeadError, LLMError, from_status
from services.llm.providers import ollama, openai_compat

NOT_OURS = {
    openai.LengthFinishReasonError,  # only raised by the SDK's parsing helpers, which we do not call
    openai.ContentFilterFinishReasonError,
    openai.InvalidWebhookSignatureError,
    openai.OAuthError,  # only with workload identity, which we do not use
    openai.WebSocketConnectionClosedError,  # we open no websocket
    openai.WebSocketQueueFullError,
}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, CallerError),
        (401, ConfigError),
        (403, ConfigError),
        (404, ConfigError),
        (408, DeadError),
        (413, CallerError),
        (422, CallerError),
        (429, BusyError),
        (500, DeadError),
        (502, DeadError),
        (503, BusyError),
        (504, DeadError),
    ],
)
def test_status_table(status: int, expected: type[LLMError]) -> None:
    """Each HTTP status has exactly one class."""
    assert type(from_status(status, "said so", provider="vllm")) is expected


def exceptions_of(module: object, base: type[BaseException]) -> list[type[BaseException]]:
    found = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)]
    return sorted(set(found), key=lambda c: c.__name__)


def test_every_openai_exception_is_caught() -> None:
    """No exception class of the openai SDK or its HTTP library can pass the adapter untranslated."""
    known = exceptions_of(openai, openai.OpenAIError) + exceptions_of(httpx2, Exception)
    passed = [c.__name__ for c in known if not issubclass(c, openai_compat.FOREIGN) and c is not httpx2.CookieConflict]

    assert passed == []


def test_every_ollama_exception_is_caught() -> None:
    """No exception class of the ollama SDK or its HTTP library can pass the adapter untranslated."""
    known = exceptions_of(ollama_sdk, Exception) + exceptions_of(httpx, Exception)
    passed = [c.__name__ for c in known if not issubclass(c, ollama.FOREIGN) and c is not httpx.CookieConflict]

    assert passed == []


def test_every_openai_exception_has_a_row() -> None:
    """Apart from listed ones that our calls cannot raise, none ends in the table's last line."""
    request = httpx2.Request("POST", "http://engine")
    made = {
        openai.APIConnectionError: openai.APIConnectionError(request=request),
        openai.APITimeoutError: openai.APITimeoutError(request=request),
        openai.APIError: openai.APIError("engine died", request=request, body=None),
        openai.APIResponseValidationError: openai.APIResponseValidationError(
            response=httpx2.Response(200, request=request), body=None
        ),
    }
    for kind in exceptions_of(openai, openai.APIStatusError):
        if kind not in NOT_OURS:
            response = httpx2.Response(getattr(kind, "status_code", 500) or 500, request=request)
            made[kind] = kind("no", response=response, body=None)  # type: ignore[call-arg]
    for exc in made.values():
        error = openai_compat.translate(exc, provider="vllm")
        unmapped = type(error) is CallerError and error.detail.startswith(type(exc).__name__)
        assert not unmapped, type(exc)


def test_context_length_is_told_by_param_not_by_words() -> None:
    """vLLM names the field; that makes it the caller's error that never falls back."""
    body = {"message": "whatever the words", "param": "input_tokens", "code": 400}
    response = httpx2.Response(400, request=httpx2.Request("POST", "http://engine"))
    error = openai_compat.translate(openai.BadRequestError("no", response=response, body=body), provider="vllm")

    assert type(error) is ContextTooLong


def test_ollama_bad_schema_is_the_callers() -> None:
    """Ollama says 500 where the caller's schema is at fault; it must not count as illness."""
    error = ollama.translate(ollama_sdk.ResponseError("invalid JSON schema in format", 500), provider="ollama")

    assert type(error) is CallerError


def test_ollama_error_line_in_a_stream_is_dead() -> None:
    """An error line inside a 200 stream has no status of its own."""
    error = ollama.translate(ollama_sdk.ResponseError("runner terminated"), provider="ollama")

    assert type(error) is DeadError
