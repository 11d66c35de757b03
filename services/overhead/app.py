"""The client as a service has it: built from settings, with metrics, the log hook and Ollama behind vLLM."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from services import settings
from services.llm.build import client_for
from services.llm.types import ChatRequest, End, Message, Outcome, Role, Sampling, Token

SERVICE, ALIAS = "notes", "smollm2-135m"
MESSAGES = (
    Message(role=Role.SYSTEM, content="You summarize notes in one sentence."),
    Message(role=Role.USER, content="The ferry to Vangsnes leaves at nine, and the last one back at half past six."),
)


class Ours:
    """A subject of `worker.py`, loaded there by name. Nothing listens where its Ollama would be; nothing asks it."""

    def __init__(self, url: str, _bodies: dict[str, Any]) -> None:
        _log_to_nowhere()
        home = "/nonexistent"  # no rollout file: the pin decides
        variables = {"VLLM_URL": url, "LLM_PROVIDER": "vllm", "LLM_MODEL": ALIAS, "CUTOVER_HOME": home}
        self._client = client_for(settings.load(variables), SERVICE, CollectorRegistry())

    async def call(self, chunks: int) -> str:
        return (await self._client.chat(_request(chunks))).text

    async def stream(self, chunks: int) -> str:
        texts, end = [], None
        async with contextlib.aclosing(self._client.stream(_request(chunks))) as events:
            async for event in events:
                match event:
                    case Token():
                        texts.append(event.text)
                    case End():
                        end = event
        if end is None or end.outcome is not Outcome.COMPLETE:
            raise ValueError(f"the stream ended with {end}")
        return "".join(texts)


def _request(chunks: int) -> ChatRequest:
    return ChatRequest(
        service=SERVICE,
        alias=ALIAS,
        messages=MESSAGES,
        sampling=Sampling(max_tokens=chunks),
        deadline_s=60.0,
    )


def _log_to_nowhere() -> None:
    """Lines are made and written as in production, to a file that keeps none."""
    logger = logging.getLogger("cutover")
    handler = logging.StreamHandler(Path(os.devnull).open("w"))  # noqa: SIM115 - open as long as the process
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
