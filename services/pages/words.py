"""What pages say in words that the API says in codes. Pure."""

from __future__ import annotations

from services.web.provenance import LLMInfo

ENGINES = {"vllm": "vLLM", "ollama": "Ollama", "remote": "the remote vLLM", "anthropic": "Anthropic"}
_PLAIN = {
    "connect": "nobody listened at its address",
    "timeout_connect": "it did not take the connection in time",
    "timeout_first_token": "its first token took too long",
    "timeout_stall": "it fell silent in the middle",
    "timeout_total": "the time was up",
    "http_4xx": "it refused the request",
    "http_429": "it had its hands full",
    "http_5xx": "it failed with an error of its own",
    "context_length": "the request was too long for it",
    "model_not_found": "it does not have the model",
    "bad_response": "its answer could not be used",
    "cut": "its answer broke off",
    "capability": "it cannot do what was asked",
    "shed": "too many requests waited for it",
    "budget": "its budget is spent",
    "breaker_open": "it failed shortly before",
}


def engine(provider: str) -> str:
    """A provider as people write it."""
    return ENGINES.get(provider, provider)


def reason(code: str) -> str:
    """Why a provider did not answer, as people say it; an unknown code is told as it is."""
    return _PLAIN.get(code, code.replace("_", " "))


def fallback_words(llm: LLMInfo) -> str:
    """How it came that not the first provider answered: "vLLM did not answer: ...; Ollama did"; "" where it did.

    Who stands behind the one that answered may be among the skipped as well; that alone is no fallback.
    """
    if llm.fallback_reason is None:
        return ""
    failed = [f"{engine(a.provider)} did not answer: {reason(a.error)}" for a in llm.attempts if a.error]
    skipped = [f"{engine(s.provider)} was not asked: {reason(s.reason)}" for s in llm.skipped]
    told = [*skipped, *failed]
    return "; ".join([*told, f"{engine(llm.provider)} did"]) if told else ""


def seconds(value: float | None) -> str:
    """Seconds with one digit behind the point, two below one; the unit never stands alone in a line."""
    if value is None:
        return "?"
    return f"{value:.2f}\N{NO-BREAK SPACE}s" if value < 1 else f"{value:.1f}\N{NO-BREAK SPACE}s"


def sentence(text: str) -> str:
    """`text`, as an error says it, with a capital at its beginning and a full stop at its end."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
