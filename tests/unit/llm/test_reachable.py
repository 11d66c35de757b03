"""Whether an OpenAI-compatible server outside is there, asked without anybody's prompt."""

from __future__ import annotations

import httpx2
import pytest

from services.llm.errors import ConfigError, DeadError
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import models
from tests.unit.llm.conftest import ALIAS


def at(answer: httpx2.Response | Exception, seen: list[httpx2.Request]) -> OpenAICompat:
    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx2.MockTransport(handle)
    return OpenAICompat(
        name="remote", url="https://gpu.example", models=models(), connect_s=1.0, api_key="k", transport=transport
    )


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, json={"object": "list", "data": [{"id": "other"}, {"id": ALIAS}]}),
        httpx2.Response(404, json={"detail": "Not Found"}),
        httpx2.Response(405, text="no"),
    ],
    ids=["listed", "no list", "no such method"],
)
async def test_it_is_there(answer: httpx2.Response) -> None:
    """It lists the model; or it answers and has no list, as a proxy in front of it may."""
    seen: list[httpx2.Request] = []
    await at(answer, seen).reachable(ALIAS)

    assert [(r.method, str(r.url), r.content) for r in seen] == [("GET", "https://gpu.example/v1/models", b"")]
    assert seen[0].headers["authorization"] == "Bearer k"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx2.Response(200, json={"object": "list", "data": [{"id": "other"}]}), ConfigError),
        (httpx2.Response(401, json={"error": "Unauthorized"}), ConfigError),
        (httpx2.Response(303, headers={"location": "https://gpu.example/later"}), ConfigError),
        (httpx2.Response(200, text="<html>"), DeadError),
        (httpx2.Response(502, text="<html>"), DeadError),
        (httpx2.ConnectError("refused"), DeadError),
    ],
    ids=["another model", "another key", "sent elsewhere", "a page", "a proxy alone", "nobody"],
)
async def test_it_is_not(answer: httpx2.Response | Exception, error: type[Exception]) -> None:
    """A redirect is not followed: Modal sends one after 150 s of starting."""
    seen: list[httpx2.Request] = []
    with pytest.raises(error):
        await at(answer, seen).reachable(ALIAS)

    assert len(seen) == 1
