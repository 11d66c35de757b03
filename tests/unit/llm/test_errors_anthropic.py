"""Every foreign exception of the last resort is one of our classes; the table is checked row by row."""

from __future__ import annotations

import inspect
from typing import Any

import anthropic as sdk
import httpx2
import pytest

from services.llm.errors import BusyError, CallerError, ConfigError, ContextTooLong, DeadError, ErrorType, LLMError
from services.llm.providers import anthropic
from services.llm.providers.anthropic_wire import EventReader

REQUEST = httpx2.Request("POST", "https://api.anthropic.com/v1/messages")
NOT_OURS = {
    sdk.AnthropicError,  # only its heirs are raised
    sdk.RetryableError,  # raised by middleware, of which there is none
}


def status_error(status: int, body: Any, **headers: str) -> sdk.APIStatusError:
    """What the SDK raises for this answer, made by the SDK itself."""
    client = sdk.AsyncAnthropic(api_key="none", base_url="http://engine", open_telemetry=False)
    response = httpx2.Response(status, request=REQUEST, headers=headers)
    return client._make_status_error(f"Error code: {status}", body=body, response=response)


def translated(status: int, kind: str, said: str = "no", **headers: str) -> LLMError:
    body = {"type": "error", "error": {"type": kind, "message": said}}
    return anthropic.translate(status_error(status, body, **headers), provider="anthropic")


@pytest.mark.parametrize(
    ("status", "kind", "expected", "type"),
    [
        (400, "invalid_request_error", CallerError, ErrorType.HTTP_4XX),
        (401, "authentication_error", ConfigError, ErrorType.HTTP_4XX),
        (402, "billing_error", ConfigError, ErrorType.HTTP_4XX),
        (403, "permission_error", ConfigError, ErrorType.HTTP_4XX),
        (404, "not_found_error", ConfigError, ErrorType.MODEL_NOT_FOUND),
        (413, "request_too_large", CallerError, ErrorType.HTTP_4XX),
        (429, "rate_limit_error", BusyError, ErrorType.HTTP_429),
        (500, "api_error", DeadError, ErrorType.HTTP_5XX),
        (503, "api_error", BusyError, ErrorType.HTTP_5XX),
        (504, "timeout_error", DeadError, ErrorType.HTTP_5XX),
        (529, "overloaded_error", BusyError, ErrorType.HTTP_5XX),
    ],
)
def test_status_table(status: int, kind: str, expected: type[LLMError], type: ErrorType) -> None:
    """Each status of the documented list has exactly one class, and the text that came with it."""
    error = translated(status, kind)

    assert (error.__class__, error.type, error.status) == (expected, type, status)
    assert "no" in error.detail


@pytest.mark.parametrize("status", [429, 529])
def test_when_to_come_back_is_kept(status: int) -> None:
    """The server's own word for how long to wait, in seconds."""
    assert translated(status, "rate_limit_error", **{"retry-after": "7"}).retry_after_s == 7.0
    assert translated(status, "rate_limit_error", **{"retry-after": "Sat, 21 Nov 2026"}).retry_after_s is None


@pytest.mark.parametrize(
    "said",
    [
        "prompt is too long: 345320 tokens > 199999 maximum",
        "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000",
        "This model's maximum context length is 4096 tokens. However, you requested 8 output tokens",
    ],
)
def test_a_prompt_that_does_not_fit_is_the_callers(said: str) -> None:
    """Told by words, because the API and vLLM's copy of it give nothing else."""
    assert type(translated(400, "invalid_request_error", said)) is ContextTooLong


@pytest.mark.parametrize(
    "body", [None, "<html>", "Unauthorized", {"error": "Unauthorized"}, {"detail": "Not Found"}, []]
)
def test_an_answer_of_another_shape_still_has_its_status(body: Any) -> None:
    """A proxy's page, vLLM's bare 401, a web framework's 404."""
    error = anthropic.translate(status_error(401, body), provider="anthropic")

    assert (type(error), error.status) == (ConfigError, 401)


def exceptions_of(module: object, base: type[BaseException]) -> list[type[BaseException]]:
    found = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)]
    return sorted(set(found), key=lambda c: c.__name__)


def test_every_exception_is_caught() -> None:
    """No exception class of the SDK or its HTTP library can pass the adapter untranslated."""
    known = exceptions_of(sdk, Exception) + exceptions_of(httpx2, Exception)
    passed = [c.__name__ for c in known if not issubclass(c, anthropic.FOREIGN) and c is not httpx2.CookieConflict]

    assert passed == []


def test_every_exception_has_a_row() -> None:
    """Apart from listed ones that our calls cannot raise, none ends in the row for the caller's mistakes."""
    made: dict[type[BaseException], Exception] = {
        sdk.APIConnectionError: sdk.APIConnectionError(request=REQUEST),
        sdk.APITimeoutError: sdk.APITimeoutError(request=REQUEST),
        sdk.APIError: sdk.APIError("odd", REQUEST, body=None),
        sdk.APIWebhookValidationError: sdk.APIWebhookValidationError("odd", REQUEST, body=None),
        sdk.APIResponseValidationError: sdk.APIResponseValidationError(httpx2.Response(200, request=REQUEST), None),
        sdk.CredentialsError: sdk.CredentialsError("no file"),
        sdk.IdentityTokenFileError: sdk.IdentityTokenFileError("no file"),
        sdk.WorkloadIdentityError: sdk.WorkloadIdentityError("no token"),
    }
    for kind in exceptions_of(sdk, sdk.APIStatusError):
        response = httpx2.Response(getattr(kind, "status_code", 500), request=REQUEST)
        made[kind] = kind("no", response=response, body=None)  # type: ignore[call-arg, assignment]

    assert set(exceptions_of(sdk, Exception)) == set(made) | NOT_OURS
    for exc in made.values():
        error = anthropic.translate(exc, provider="anthropic")
        unmapped = type(error) is CallerError and error.detail.startswith(type(exc).__name__)
        assert not unmapped, type(exc)


@pytest.mark.parametrize(
    ("exc", "type"),
    [
        (httpx2.ConnectError("refused"), ErrorType.CONNECT),
        (httpx2.ReadError("reset"), ErrorType.CUT),
        (httpx2.ConnectTimeout("slow"), ErrorType.TIMEOUT_CONNECT),
        (httpx2.InvalidURL("no"), ErrorType.BAD_RESPONSE),
        (ValueError("a line of more than 4 MiB"), ErrorType.BAD_RESPONSE),
    ],
)
def test_what_the_http_library_raises_is_an_illness(exc: Exception, type: ErrorType) -> None:
    """Alone, and where the SDK has wrapped it."""
    error = anthropic.translate(exc, provider="anthropic")

    assert (error.__class__, error.type) == (DeadError, type)
    if isinstance(exc, httpx2.TransportError) and type is not ErrorType.TIMEOUT_CONNECT:
        wrapped = sdk.APIConnectionError(request=REQUEST)
        wrapped.__cause__ = exc
        assert anthropic.translate(wrapped, provider="anthropic").type is type


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", BusyError),
        ("rate_limit_error", BusyError),
        ("authentication_error", ConfigError),
        ("permission_error", ConfigError),
        ("billing_error", ConfigError),
        ("not_found_error", ConfigError),
        ("invalid_request_error", CallerError),
        ("request_too_large", CallerError),
        ("api_error", DeadError),
        ("timeout_error", DeadError),
        ("internal_error", DeadError),  # vLLM's, when its engine has died
        ("something_new", DeadError),
    ],
)
def test_an_error_event_is_told_by_its_type(kind: str, expected: type[LLMError]) -> None:
    """Inside a stream that began with 200 there is no status."""
    data = f'{{"type": "error", "error": {{"type": "{kind}", "message": "no"}}}}'.encode()
    with pytest.raises(LLMError) as caught:
        EventReader("anthropic").chunk(data)

    assert type(caught.value) is expected
