"""The error tree of the LLM client. The class says what to do next; the table says which class an HTTP status is.

LLMError
  CallerError            the request is wrong: answer now, never fall back, blame nobody
    ContextTooLong       prompt and answer do not fit the window
  ConfigError            the set-up is wrong (model missing, key refused): loud; falls back, never trips
  BusyError              the engine has no room: next provider; `retry_after_s` for the caller
  BudgetError            what may be spent at a paid provider is spent: next provider; nobody is ill or full
  DeadError              the engine is ill or gone: next provider, and the breaker counts it
    DeadlineExceeded     the request's own time is up: nothing more is tried
  PartialError           a stream broke after its first content token
  AllProvidersFailed     nobody of the chain could answer; `causes` tells each reason
"""

from __future__ import annotations

import enum


class Kind(enum.StrEnum):
    """The five classes of failure, and `none`."""

    CALLER = "caller"
    CONFIG = "config"
    BUSY = "busy"
    DEAD = "dead"
    PARTIAL = "partial"


class ErrorType(enum.StrEnum):
    """The closed set of causes, as metrics label them."""

    NONE = "none"
    CONNECT = "connect"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_FIRST_TOKEN = "timeout_first_token"
    TIMEOUT_STALL = "timeout_stall"
    TIMEOUT_TOTAL = "timeout_total"
    HTTP_4XX = "http_4xx"
    HTTP_429 = "http_429"
    HTTP_5XX = "http_5xx"
    CONTEXT_LENGTH = "context_length"
    MODEL_NOT_FOUND = "model_not_found"
    BAD_RESPONSE = "bad_response"
    CUT = "cut"
    CAPABILITY = "capability"
    SHED = "shed"
    BUDGET = "budget"
    BREAKER_OPEN = "breaker_open"
    CANCELLED = "cancelled"
    OTHER = "other"


class LLMError(Exception):
    """Base of the tree. `provider` names who failed, `detail` what it said, `status` its HTTP status if any."""

    kind: Kind = Kind.CALLER

    def __init__(
        self,
        detail: str,
        *,
        provider: str = "",
        status: int | None = None,
        type: ErrorType = ErrorType.OTHER,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{provider}: {detail}" if provider else detail)
        self.detail = detail
        self.provider = provider
        self.status = status
        self.type = type
        self.retry_after_s = retry_after_s


class CallerError(LLMError):
    """The request itself is wrong; every engine would refuse it, or should."""


class ContextTooLong(CallerError):
    """Prompt and answer do not fit the window. Never sent to an engine that would cut the prompt in silence."""

    def __init__(self, detail: str, *, provider: str = "", status: int | None = None) -> None:
        super().__init__(detail, provider=provider, status=status, type=ErrorType.CONTEXT_LENGTH)


class ConfigError(LLMError):
    """The set-up is wrong: a model that is not there, a key that is refused."""

    kind = Kind.CONFIG


class BusyError(LLMError):
    """No room now. `retry_after_s` is when to come back, in seconds, where the engine said so."""

    kind = Kind.BUSY


class BudgetError(LLMError):
    """A paid provider was not asked: its day's budget is spent, or nobody can tell what is left of it."""

    kind = Kind.BUSY

    def __init__(self, detail: str, *, provider: str = "") -> None:
        super().__init__(detail, provider=provider, type=ErrorType.BUDGET)


class DeadError(LLMError):
    """Refused, reset, silent, or answering nonsense.

    `is_illness` is false where only the caller's hurry ended the try: the next may answer, and nobody is blamed.
    """

    kind = Kind.DEAD
    is_illness = True


class DeadlineExceeded(DeadError):
    """The request's own deadline has passed; no further provider is tried."""

    def __init__(self, detail: str, *, provider: str = "") -> None:
        super().__init__(detail, provider=provider, type=ErrorType.TIMEOUT_TOTAL)


class PartialError(LLMError):
    """A stream broke after its first content token. `text` is what had come."""

    kind = Kind.PARTIAL

    def __init__(self, detail: str, *, text: str, provider: str, type: ErrorType) -> None:
        super().__init__(detail, provider=provider, type=type)
        self.text = text


class AllProvidersFailed(LLMError):
    """Nobody of the chain answered. `causes` in the order of the chain; the last one's kind is this one's.

    `root` is that last cause. A spent budget is none while there is another: the engines before it are why.
    """

    def __init__(self, causes: tuple[LLMError, ...]) -> None:
        super().__init__("no provider could answer: " + " | ".join(str(c) for c in causes))
        self.causes = causes
        told = [c for c in causes if not isinstance(c, BudgetError)] or list(causes)
        self.root: LLMError = told[-1] if told else self
        self.kind = told[-1].kind if told else Kind.CONFIG
        self.type = told[-1].type if told else ErrorType.OTHER
        waits = [c.retry_after_s for c in causes if c.retry_after_s is not None]
        self.retry_after_s = min(waits) if waits else None


def seconds_of(retry_after: str) -> float | None:
    """A Retry-After header in seconds; None for a date, or for so many digits that they are no time to wait."""
    is_number = retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10
    return float(retry_after) if is_number else None


def from_status(status: int, detail: str, *, provider: str, retry_after_s: float | None = None) -> LLMError:
    """The error of an HTTP answer, by its status. One row of `reference/engines.md` section 5 per case.

    Bodies are looked at by the adapters first, for what a status cannot tell (context length, bad schema).
    """
    label = ErrorType.HTTP_4XX if status < 500 else ErrorType.HTTP_5XX
    match status:
        case 401 | 403:
            return ConfigError(f"key refused: {detail}", provider=provider, status=status, type=label)
        case 404:
            return ConfigError(detail, provider=provider, status=status, type=ErrorType.MODEL_NOT_FOUND)
        case 402 | 405 | 407 | 410 | 421 | 426 | 501 | 505:  # the account, the address or what stands between
            return ConfigError(detail, provider=provider, status=status, type=label)
        case _ if 300 <= status < 400:
            return ConfigError(f"sent elsewhere: {detail}", provider=provider, status=status, type=label)
        case 408:
            return DeadError(detail, provider=provider, status=status, type=label)
        case 429:
            label = ErrorType.HTTP_429
            return BusyError(detail, provider=provider, status=status, type=label, retry_after_s=retry_after_s)
        case 409 | 423 | 425 | 503 | 529:  # held by another request, too early, no room
            return BusyError(detail, provider=provider, status=status, type=label, retry_after_s=retry_after_s)
        case _ if 400 <= status < 500:
            return CallerError(detail, provider=provider, status=status, type=label)
        case _:
            return DeadError(detail, provider=provider, status=status, type=label)
