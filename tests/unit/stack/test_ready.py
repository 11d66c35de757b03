"""Ready is a generated token; waiting ends at the deadline, at a death, or where waiting cannot help."""

from __future__ import annotations

import itertools
import json
import threading

import httpx2
import pytest

from services.settings import Settings
from services.stack import ready
from services.stack.errors import StackError
from services.stack.venvs import Cancelled


def answering(status: int, body: object, seen: list[httpx2.Request] | None = None) -> httpx2.Client:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        return httpx2.Response(status, json=body)

    return httpx2.Client(transport=httpx2.MockTransport(handle))


def wait(check: ready.Check, *, dead: str = "", deadline_s: float = 5.0, cancelled: bool = False) -> None:
    event, ticks = threading.Event(), itertools.count()
    if cancelled:
        event.set()
    ready.wait(
        "vllm at somewhere",
        check,
        died=lambda: dead,
        deadline_s=deadline_s,
        cancelled=event,
        clock=lambda: float(next(ticks)),
    )


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, {"usage": {"completion_tokens": 1}}, ""),
        (200, {"usage": {"completion_tokens": 0}}, "no token in"),
        (503, {"error": "loading"}, "answers 503"),
        (500, {"error": "runner terminated"}, "answers 500"),
    ],
)
def test_vllm_is_ready_by_a_token(settings: Settings, status: int, body: object, reason: str) -> None:
    """An open port, even a 200, is not enough."""
    with answering(status, body) as http:
        said = ready.vllm_generates(settings, "m")(http)

    assert bool(said) == bool(reason)
    assert reason in said


def test_ollama_is_asked_in_the_window_of_the_services(settings: Settings) -> None:
    """Another window would make it load the model again on the first real request."""
    seen: list[httpx2.Request] = []
    with answering(200, {"eval_count": 1}, seen) as http:
        assert ready.ollama_generates(settings, "m", 4096)(http) == ""

    assert json.loads(seen[0].content)["options"] == {"num_predict": 1, "num_ctx": 4096, "temperature": 0}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_engine_with_another_model_or_key_is_not_waited_for(settings: Settings, status: int) -> None:
    """The message names the variables to correct."""
    with (
        answering(status, {"error": "no such model"}) as http,
        pytest.raises(StackError, match="VLLM_URL, VLLM_API_KEY"),
    ):
        ready.vllm_generates(settings, "m")(http)


def test_a_death_ends_the_waiting_at_once() -> None:
    """The reason is what the log says."""
    with pytest.raises(StackError, match="its log ends: boom"):
        wait(lambda http: "never asked", dead="its log ends: boom")


def test_the_deadline_tells_the_last_reason() -> None:
    """Not just that it took too long."""
    with pytest.raises(StackError, match="did not become ready in 0 s: still loading"):
        wait(lambda http: "still loading", deadline_s=0.0)


def test_a_refused_connection_is_a_reason_to_wait() -> None:
    """While an engine loads, its port refuses."""

    def refuse(http: httpx2.Client) -> str:
        raise httpx2.ConnectError("refused")

    with pytest.raises(StackError, match="ConnectError: refused"):
        wait(refuse, deadline_s=0.0)


def test_a_withdrawn_wish_ends_the_waiting() -> None:
    """Ctrl-C does not wait for a deadline."""
    with pytest.raises(Cancelled):
        wait(lambda http: "not yet", cancelled=True)
