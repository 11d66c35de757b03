"""A peer behind JSON lines: asked on stdin, told on stdout. Runs in the peers' environment, knows nothing of ours.

`python driver.py litellm|openai|langchain`; it says `{"ready": {...versions}}` first. Then, one object a line:
`{"op": "open", "session": n, "primary": url, "fallback": url, "first_s": s, "rest_s": s, "deadline_s": s}`,
`{"op": "ask", "id": n, "session": n, "stream": bool, "prompt": text, "schema": {...} or null}`, answered by one
`{"id": n, "ended": ..., "text": ..., "model": ..., "detail": ..., "took_s": s}`; `{"op": "leave", "id": n}`,
`{"op": "close", "session": n}`. Each set-up is the peer's documented one for a primary and a fallback.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from importlib import metadata
from typing import IO, Any, Protocol

PRIMARY, FALLBACK = "primary-model", "fallback-model"
KEY = "none"
MAX_TOKENS = 64


class Piece(Protocol):
    """One part of an answer; a whole answer is a single one."""

    text: str
    model: str
    finish: str


class Part:
    """A `Piece`."""

    def __init__(self, text: str | None, model: str | None, finish: str | None) -> None:
        self.text = text or ""
        self.model = model or ""
        self.finish = finish or ""


class LiteLLM:
    """A Router of two groups with `fallbacks`, no retries in front of an idle fallback, a time limit for each."""

    def __init__(self, setup: dict[str, Any]) -> None:
        import litellm  # type: ignore[import-not-found, unused-ignore]

        litellm.suppress_debug_info = True
        litellm.telemetry = False
        groups = ((PRIMARY, setup["primary"], setup["first_s"]), (FALLBACK, setup["fallback"], setup["rest_s"]))
        self._router = litellm.Router(
            model_list=[
                {
                    "model_name": name,
                    "litellm_params": {
                        "model": f"openai/{name}",
                        "api_base": f"{url}/v1",
                        "api_key": KEY,
                        "timeout": limit_s,
                        "stream_timeout": limit_s,
                    },
                }
                for name, url, limit_s in groups
            ],
            fallbacks=[{PRIMARY: [FALLBACK]}],
            num_retries=0,
        )

    async def parts(self, ask: dict[str, Any]) -> AsyncIterator[Piece]:
        arguments = {**_arguments(ask), "model": PRIMARY}
        if not ask["stream"]:
            yield _whole(await self._router.acompletion(**arguments))
            return
        async for chunk in await self._router.acompletion(**arguments, stream=True):
            yield _chunk(chunk)

    async def close(self) -> None:
        self._router.discard()


class OpenAI:
    """The SDK alone, with the retries it comes with. It has no fallback."""

    def __init__(self, setup: dict[str, Any]) -> None:
        import openai

        self._client = openai.AsyncOpenAI(base_url=f"{setup['primary']}/v1", api_key=KEY, timeout=setup["deadline_s"])

    async def parts(self, ask: dict[str, Any]) -> AsyncIterator[Piece]:
        arguments = {**_arguments(ask), "model": PRIMARY}
        if not ask["stream"]:
            yield _whole(await self._client.chat.completions.create(**arguments))
            return
        async for chunk in await self._client.chat.completions.create(**arguments, stream=True):
            yield _chunk(chunk)

    async def close(self) -> None:
        await self._client.close()


class LangChain:
    """`ChatOpenAI(...).with_fallbacks([ChatOpenAI(...)])`, retries off because a fallback stands behind."""

    def __init__(self, setup: dict[str, Any]) -> None:
        from langchain_openai import ChatOpenAI  # type: ignore[import-not-found, unused-ignore]

        def model(name: str, url: str, limit_s: float) -> Any:
            return ChatOpenAI(
                model=name, base_url=f"{url}/v1", api_key=KEY, timeout=limit_s, max_retries=0, max_tokens=MAX_TOKENS
            )

        self._models = (
            model(PRIMARY, setup["primary"], setup["first_s"]),
            model(FALLBACK, setup["fallback"], setup["rest_s"]),
        )

    async def parts(self, ask: dict[str, Any]) -> AsyncIterator[Piece]:
        extra = {k: v for k, v in _arguments(ask).items() if k == "response_format"}
        primary, fallback = (m.bind(**extra) if extra else m for m in self._models)
        chain = primary.with_fallbacks([fallback])
        messages = [("user", ask["prompt"])]
        if not ask["stream"]:
            yield _message(await chain.ainvoke(messages))
            return
        async for chunk in chain.astream(messages):
            yield _message(chunk)

    async def close(self) -> None:
        """Its clients are shared by the library and stay open."""


PEERS: dict[str, Any] = {"litellm": LiteLLM, "openai": OpenAI, "langchain": LangChain}
PACKAGES = {"litellm": ("litellm", "openai"), "openai": ("openai",), "langchain": ("langchain-openai", "openai")}


def _arguments(ask: dict[str, Any]) -> dict[str, Any]:
    arguments = {
        "messages": [{"role": "user", "content": ask["prompt"]}],
        "max_tokens": MAX_TOKENS,
        "temperature": 0.0,
    }
    if ask["schema"]:
        named = {"name": "answer", "schema": ask["schema"], "strict": True}
        arguments["response_format"] = {"type": "json_schema", "json_schema": named}
    return arguments


def _whole(answer: Any) -> Part:
    choice = answer.choices[0]
    return Part(choice.message.content, answer.model, choice.finish_reason)


def _chunk(chunk: Any) -> Part:
    if not chunk.choices:
        return Part("", chunk.model, "")
    return Part(chunk.choices[0].delta.content, chunk.model, chunk.choices[0].finish_reason)


def _message(message: Any) -> Part:
    told = message.response_metadata
    text = message.content if isinstance(message.content, str) else "".join(b.get("text", "") for b in message.content)
    return Part(text, told.get("model_name"), told.get("finish_reason"))


class Desk:
    """Sessions and requests under way. `out` is the real stdout: libraries that print reach stderr."""

    def __init__(self, peer: Any, out: IO[str]) -> None:
        self._peer = peer
        self._out = out
        self._sessions: dict[int, Any] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}

    async def serve(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            told = json.loads(line)
            match told["op"]:
                case "open":
                    self._sessions[told["session"]] = self._peer(told)
                case "ask":
                    self._asking[told["id"]] = asyncio.ensure_future(self._ask(told))
                case "leave" if told["id"] in self._asking:
                    self._asking[told["id"]].cancel()
                case "close":
                    await self._sessions.pop(told["session"]).close()

    async def _ask(self, ask: dict[str, Any]) -> None:
        began = time.monotonic()
        told: dict[str, Any] = {"id": ask["id"], "text": "", "model": "", "finish": "", "detail": "", "retry_after": ""}
        try:
            async with contextlib.aclosing(self._sessions[ask["session"]].parts(ask)) as parts:
                async for part in parts:
                    told["text"] += part.text
                    told["model"] = part.model or told["model"]
                    told["finish"] = part.finish or told["finish"]
            told["ended"] = "filtered" if told["finish"] == "content_filter" else "answer"
        except asyncio.CancelledError:
            told["ended"] = "left"
        except Exception as exc:  # noqa: BLE001 - whatever the library lets out is what its caller would get
            told["ended"] = _kind(exc, told["text"])
            told["detail"] = f"{type(exc).__name__}: {exc}"[:300]
            told["retry_after"] = _retry_after(exc)
        told["took_s"] = time.monotonic() - began
        del self._asking[ask["id"]]
        self.say(told)

    def say(self, told: dict[str, Any]) -> None:
        self._out.write(json.dumps(told) + "\n")
        self._out.flush()


def _retry_after(exc: Exception) -> str:
    """The header where the library lets its caller see it; LiteLLM keeps the engine's headers beside its own."""
    for headers in (
        getattr(exc, "litellm_response_headers", None),
        getattr(getattr(exc, "response", None), "headers", None),
    ):
        if headers and headers.get("retry-after"):
            return str(headers["retry-after"])
    return ""


def _kind(exc: Exception, text: str) -> str:
    """A library's own error, or an operating system's, is typed; a TypeError out of its inside is not."""
    typed = type(exc).__module__ != "builtins" or isinstance(exc, OSError)
    return "crashed" if not typed else "partial" if text else "error"


async def main(name: str) -> None:
    """Serve one peer until stdin ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = PEERS[name]
    peer(
        {"primary": "http://127.0.0.1:1", "fallback": "http://127.0.0.1:1", "first_s": 1, "rest_s": 1, "deadline_s": 1}
    )
    lines = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    desk = Desk(peer, out)
    desk.say({"ready": {package: metadata.version(package) for package in PACKAGES[name]}})
    await desk.serve(lines)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
