"""One interpreter's side of the measurement: asks the upstream through one client at a time and tells the CPU time.

Standard library and the clients only, since the peers' interpreter has no `services`; ours is loaded by name where
`--path` says that it is there. Orders come as JSON lines on stdin; answers go to what was stdout, which libraries that
print cannot reach.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import importlib.metadata
import inspect
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

SETTLE_S, QUIET_S, LOOKS = 0.005, 0.0003, 40
"""Work that a client left for later counts for it: until less than `QUIET_S` of CPU went into `SETTLE_S`."""

DISTRIBUTIONS = ("openai", "httpx", "httpx2", "litellm")


class Subject(Protocol):
    """A client under measurement: the whole text of an answer of `chunks` tokens, asked for in either way."""

    async def call(self, chunks: int) -> str: ...
    async def stream(self, chunks: int) -> str: ...


class Raw:
    """httpx2 and json by hand: what any client of this kind pays at least."""

    def __init__(self, url: str, bodies: dict[str, Any]) -> None:
        httpx2 = importlib.import_module("httpx2")
        self._http = httpx2.AsyncClient(timeout=60, trust_env=False)
        self._url = f"{url}/v1/chat/completions"
        self._bodies = bodies

    async def call(self, chunks: int) -> str:
        answer = await self._http.post(self._url, json=self._bodies["call"] | {"max_tokens": chunks})
        return str(answer.json()["choices"][0]["message"]["content"])

    async def stream(self, chunks: int) -> str:
        texts, body = [], self._bodies["stream"] | {"max_tokens": chunks}
        async with self._http.stream("POST", self._url, json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {") and (choices := json.loads(line[6:])["choices"]):
                    texts.append(choices[0]["delta"]["content"])
        return "".join(texts)


class OpenAI:
    """The openai SDK, whose words LiteLLM uses as well: what it has no parameter for goes into `extra_body`."""

    def __init__(self, url: str, bodies: dict[str, Any]) -> None:
        openai = importlib.import_module("openai")
        sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self._create: Callable[..., Awaitable[Any]] = sdk.chat.completions.create
        self._arguments = {kind: arguments(body, sdk.chat.completions.create) for kind, body in bodies.items()}

    async def call(self, chunks: int) -> str:
        answer = await self._create(**self._arguments["call"] | {"max_tokens": chunks})
        return str(answer.choices[0].message.content)

    async def stream(self, chunks: int) -> str:
        texts = []
        async for chunk in await self._create(**self._arguments["stream"] | {"max_tokens": chunks}):
            if chunk.choices and chunk.choices[0].delta.content:
                texts.append(chunk.choices[0].delta.content)
        return "".join(texts)


class LiteLLM(OpenAI):
    """`litellm.acompletion` at an OpenAI-compatible address, without retries."""

    def __init__(self, url: str, bodies: dict[str, Any]) -> None:
        super().__init__(url, bodies)
        litellm: Any = importlib.import_module("litellm")
        litellm.suppress_debug_info = True
        where = {"api_base": f"{url}/v1", "api_key": "none", "num_retries": 0}
        for kept in self._arguments.values():
            kept |= {**where, "model": f"openai/{kept['model']}"}
        self._create = litellm.acompletion


class Router(OpenAI):
    """LiteLLM's Router with one deployment, without retries."""

    def __init__(self, url: str, bodies: dict[str, Any]) -> None:
        super().__init__(url, bodies)
        litellm = importlib.import_module("litellm")
        name = bodies["call"]["model"]
        one = {"model": f"openai/{name}", "api_base": f"{url}/v1", "api_key": "none"}
        router = litellm.Router(model_list=[{"model_name": name, "litellm_params": one}], num_retries=0)
        self._create = router.acompletion


SUBJECTS: dict[str, Callable[[str, dict[str, Any]], Subject]] = {
    "raw": Raw,
    "openai": OpenAI,
    "litellm": LiteLLM,
    "litellm-router": Router,
}


def arguments(body: dict[str, Any], create: Callable[..., Any]) -> dict[str, Any]:
    """A JSON body as keyword arguments of the SDK's `create`; what it has no word for goes into `extra_body`."""
    known = inspect.signature(create).parameters
    named = {name: value for name, value in body.items() if name in known}
    return named | {"extra_body": {name: value for name, value in body.items() if name not in known}}


class Worker:
    """Carries out orders, one at a time. `ours` is the one subject that needs no bodies: the others get its."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._subjects: dict[str, Subject] = {}

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """`load` a subject (`bodies` by kind), or `measure` one of them."""
        name = order["subject"]
        match order["do"]:
            case "load":
                make = importlib.import_module("services.overhead.app").Ours if name == "ours" else SUBJECTS[name]
                self._subjects[name] = make(self._url, order["bodies"])
                return {}
            case "measure":
                subject = self._subjects[name]
                return await measured(subject.stream if order["stream"] else subject.call, order)
            case other:
                raise ValueError(f"no order {other!r}")


async def measured(ask: Callable[[int], Awaitable[str]], order: dict[str, Any]) -> dict[str, float]:
    """`calls` requests in a row: seconds of CPU time of this process, threads included, and of the clock, per call."""
    calls, chunks, expected = order["calls"], order["chunks"], order["expected"]
    gc.collect(1)  # the young ones: a full one costs more than most cells, and LiteLLM's heap most of that
    cpu, clock = time.process_time(), time.perf_counter()
    for _ in range(calls):
        text = await ask(chunks)
        if text != expected:
            raise ValueError(f"{order['subject']} gave {len(text)} characters, expected {len(expected)}")
    clock = time.perf_counter() - clock
    await settled()
    return {"cpu_s": (time.process_time() - cpu) / calls, "wall_s": clock / calls}


async def settled() -> None:
    """Until the process has nothing more to do, or for `LOOKS` looks."""
    before = time.process_time()
    for _ in range(LOOKS):
        await asyncio.sleep(SETTLE_S)
        now = time.process_time()
        if now - before < QUIET_S:
            return
        before = now


def versions() -> dict[str, str]:
    """What is installed of `DISTRIBUTIONS` here, and the Python."""
    found = {"python": "{}.{}.{}".format(*sys.version_info)}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


async def work(url: str, answers: int) -> None:
    """Read orders until stdin ends; the first answer, unasked, are the versions."""
    worker, loop = Worker(url), asyncio.get_running_loop()
    answer: dict[str, Any] = {"versions": versions()}
    while True:
        os.write(answers, json.dumps(answer).encode() + b"\n")
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            return
        try:
            answer = await worker.order(json.loads(line))
        except Exception as exc:  # noqa: BLE001 - the edge of this process: whoever gave the order is told instead
            answer = {"error": f"{type(exc).__name__}: {exc}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--path", help="the folder that `services` is in")
    parser.add_argument("--core", type=int, help="the only core to run on")
    args = parser.parse_args()
    if args.path:
        sys.path.insert(0, args.path)
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    answers = os.dup(1)
    os.dup2(2, 1)
    asyncio.run(work(args.url, answers))


if __name__ == "__main__":
    main()
