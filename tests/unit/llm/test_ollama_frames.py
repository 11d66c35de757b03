"""Ollama's frames end with a line feed and nothing else; a prompt goes only where the settings say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from services.llm.errors import ConfigError, DeadError
from services.llm.providers.ollama import Ollama
from services.llm.registry import models
from tests.unit.llm.conftest import ask

NEXT_LINE, SEPARATOR = "\x85", "\u2028"
"""Where Python sees the end of a line, and JSON does not."""


class Body(httpx.AsyncByteStream):
    """Sent in pieces of a few bytes, so that frames and characters are split anywhere."""

    def __init__(self, sent: bytes) -> None:
        self.sent = sent

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.sent), 7):
            yield self.sent[at : at + 7]


def behind(response: httpx.Response) -> Ollama:
    transport = httpx.MockTransport(lambda _: response)
    return Ollama(name="ollama", url="http://ollama", models=models(), connect_s=1, transport=transport)


def frame(text: str, *, done: bool = False) -> str:
    end = ',"done":true,"done_reason":"stop"' if done else ',"done":false'
    return f'{{"model":"m","created_at":"","message":{{"role":"assistant","content":"{text}"}}{end}}}'


@pytest.mark.parametrize("last", ["\n", ""])
async def test_a_line_end_of_python_inside_a_text_ends_no_frame(last: str) -> None:
    """U+0085 is what an ellipsis of Windows-1252 becomes; Go writes it as it is."""
    text = f"a{NEXT_LINE}b{SEPARATOR}c\u00e9"
    sent = f"{frame(text)}\n{frame(text)}\n{frame('', done=True)}{last}".encode()
    chunks = [chunk async for chunk in behind(httpx.Response(200, stream=Body(sent))).stream(ask())]

    assert "".join(chunk.text for chunk in chunks) == text * 2
    assert chunks[-1].finish is not None


async def test_a_frame_that_was_cut_is_told() -> None:
    """Half a frame is no JSON."""
    sent = f"{frame('a')}\n{frame('b')[:-3]}".encode()
    with pytest.raises(DeadError):
        _ = [chunk async for chunk in behind(httpx.Response(200, stream=Body(sent))).stream(ask())]


async def test_a_prompt_follows_no_redirect() -> None:
    """The SDK would send it again to whatever host the answer names."""
    ollama = behind(httpx.Response(307, headers={"location": "http://elsewhere/api/chat"}))
    with pytest.raises(ConfigError):
        await ollama.chat(ask())
    with pytest.raises(ConfigError):
        _ = [chunk async for chunk in ollama.stream(ask())]
