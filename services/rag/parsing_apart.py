"""Reads one document in a process of its own, which may hang, die or eat its memory and takes nobody with it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from typing import Any

from services.rag.parsed import Limits, Page, Parsed, Refusal, Source

COMMAND = (sys.executable, "-P", "-m", "services.rag.parsing_child")


async def parse_apart(source: Source, limits: Limits) -> Parsed:
    """The text of `source`. Raises `Refusal`, also for a document on which its parser hung or died."""
    child = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(),
    )
    try:
        async with asyncio.timeout(limits.wall_s):
            said, _ = await child.communicate(asked(source, limits))
    except TimeoutError:
        raise too_slow(source) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return told(said, child.returncode, source)


def environment() -> dict[str, str]:
    """What a process that reads documents gets: none of our own secrets."""
    return {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def asked(source: Source, limits: Limits) -> bytes:
    """What a child is told: name, media type and limits in a line, then the document."""
    head = {"name": source.name, "media_type": source.media_type, "limits": dataclasses.asdict(limits)}
    return json.dumps(head).encode() + b"\n" + source.data


def told(said: bytes, returncode: int | None, source: Source) -> Parsed:
    """What a child that ended with `returncode` has answered. Raises `Refusal`."""
    if returncode == -signal.SIGXCPU:
        raise too_slow(source)
    if returncode == -signal.SIGKILL:  # not by us, who raise then: the machine or the container had no memory left
        raise Refusal("parse-too-large", f"reading {source.name!r} took all memory there was; split it or save it anew")
    if returncode == os.EX_TEMPFAIL:
        detail = f"no process could be started to read {source.name!r}; it is tried again"
        raise Refusal("parse-died", detail, again=True)
    if returncode != 0:
        detail = f"the reader died on {source.name!r} (exit {returncode}); save it anew, or send its text"
        raise Refusal("parse-died", detail)
    answer: dict[str, Any] = json.loads(said)
    if "refused" in answer:
        raise Refusal(**answer["refused"])
    parsed = answer["parsed"]
    pages = tuple(Page(**page) for page in parsed.pop("pages"))
    return Parsed(pages=pages, **parsed)


def too_slow(source: Source) -> Refusal:
    """For a document that took more than its seconds."""
    return Refusal("parse-too-slow", f"reading {source.name!r} took too long; split it or save it anew")
