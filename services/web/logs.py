"""What a service's process writes on standard error: JSON lines, each with the id of the request that it is about.

Nothing of what people wrote gets there unless `LOG_PROMPTS=1`: errors are told by type and place, without their text,
which may quote a prompt; libraries are kept from logging bodies; and the settings' secrets are blotted out of any line.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from services.llm.hooks import PROMPTS_LOGGED
from services.settings import Secret, Settings
from services.telemetry import LogFormat, Telemetry

LOG = logging.getLogger("cutover.web")
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The request that this task works for; empty outside of any."""

TALKATIVE = ("openai", "anthropic", "ollama", "httpx", "httpx2", "httpcore", "httpcore2", "uvicorn.access")
"""Loggers that tell bodies or addresses of requests at their lower levels, whatever else turns those on."""
OURS = ("uvicorn", "uvicorn.error", "uvicorn.access")
"""Loggers with handlers of their own, which would write other lines than ours."""
EVENT = re.compile(r"[a-z]+([._][a-z]+)+")
"""How the first word of our own messages names what happened."""
BLOT = "[secret]"
SHORTEST_SECRET = 6
"""Characters; blotting out a shorter one would blot out words."""


class Lines(logging.Formatter):
    """One record as one line. `secrets` never get out; the texts of errors only where `tells_words`."""

    def __init__(self, *, format: LogFormat, secrets: Sequence[str] = (), tells_words: bool = False) -> None:
        super().__init__()
        self._format = format
        self._secrets = sorted({s for s in secrets if len(s) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._tells_words = tells_words

    def format(self, record: logging.LogRecord) -> str:
        told = _told(record)
        if record.exc_info and record.exc_info[1] is not None:
            told["exception"] = exception(record.exc_info[1], tells_words=self._tells_words)
        if self._tells_words:
            told.setdefault("warning", PROMPTS_LOGGED)
        match self._format:
            case LogFormat.JSON:
                line = json.dumps(told, default=str)
            case LogFormat.TEXT:
                line = _text(told)
        for secret in self._secrets:
            line = line.replace(json.dumps(secret)[1:-1], BLOT).replace(secret, BLOT)
        return line


def install(settings: Settings) -> None:
    """Let this process write its lines. Called once, by the process's bootstrap; calling it again changes nothing."""
    told = settings.telemetry
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(format=told.log_format, secrets=secrets_of(settings), tells_words=told.log_prompts))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in OURS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    for name in TALKATIVE:
        logging.getLogger(name).handlers = []
        logging.getLogger(name).setLevel(logging.WARNING)
    _level(told)
    if told.log_prompts:
        LOG.warning("logs.prompts_on")


def _level(told: Telemetry) -> None:
    level = getattr(logging, told.log_level.upper())
    for name in ("cutover", "uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(level)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The values of every secret that this process was given."""
    resorts = settings.last_resorts
    held = (settings.admin_token, settings.vllm_api_key, resorts.remote_key, resorts.anthropic_key)
    own = (settings.api_keys.own,) if settings.api_keys.own else ()
    return (*own, *settings.stores.passwords, *(secret.value for secret in held if isinstance(secret, Secret)))


def exception(error: BaseException, *, tells_words: bool) -> dict[str, Any]:
    """Its types, outermost first, and where it was raised. Its text may quote what somebody wrote."""
    chain: list[dict[str, str]] = []
    seen: BaseException | None = error
    while seen is not None and len(chain) < 8:
        chain.append({"type": type(seen).__name__, **({"text": str(seen)} if tells_words else {})})
        seen = seen.__cause__ or seen.__context__
    frames = traceback.extract_tb(error.__traceback__)
    return {"chain": chain, "at": [f"{f.filename}:{f.lineno} {f.name}" for f in frames[-12:]]}


def _told(record: logging.LogRecord) -> dict[str, Any]:
    """The record's fields. A message that is a JSON object already, as a wide event is, gives its own."""
    told: dict[str, Any] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
    }
    if request_id := REQUEST_ID.get():
        told["request_id"] = request_id
    message = record.getMessage()
    if message.startswith("{"):
        try:
            return {**told, **json.loads(message)}
        except ValueError:
            pass  # it only looks like one, and is told as a text
    event, _, rest = message.partition(" ")
    if record.name.startswith("cutover") and EVENT.fullmatch(event):
        return {**told, "event": event, "text": rest}
    return {**told, "event": "log", "text": message}


def _text(told: dict[str, Any]) -> str:
    head = " ".join(str(told.pop(key)) for key in ("at", "level", "event"))
    rest = (
        f"{key}={value if isinstance(value, str) else json.dumps(value, default=str)}" for key, value in told.items()
    )
    return " ".join((head, *rest)).replace("\n", "\\n")
