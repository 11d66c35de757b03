"""A process that the vLLM project's router takes for a vLLM: the fake engine with a health page, to be killed."""

from __future__ import annotations

import argparse

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.engine import FakeEngine

WORDS, SLOTS, WORK_S = 400, 4, 0.1
"""Answers long and slow enough that a kill under load meets some half-way."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    asked = parser.parse_args()
    app = FakeEngine(words=(f"{asked.name} ",) * WORDS, slots=SLOTS, work_s=WORK_S).app()
    app.routes.append(Route("/health", _health))
    uvicorn.run(app, host=asked.host, port=asked.port, log_level="warning")


async def _health(_: Request) -> Response:
    return JSONResponse({})


if __name__ == "__main__":
    main()
