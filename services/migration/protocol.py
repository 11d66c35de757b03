"""How both engines speak: the frames of a stream, refusals of bad requests, and whether they notice who has left."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from services.migration.doctor_wire import Stream, Wire
from services.migration.engines import Reached
from services.migration.findings import Finding, compared
from services.migration.probes import ollama_body, problem_of, request, user, vllm_body

LEAVES_AFTER = 3
"""Lines of a stream that a caller waits for who then leaves."""

LOOKS, LOOK_EVERY_S = 20, 0.25
RUNNING = re.compile(r"^vllm:num_requests_running(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


async def framing(found: Wire) -> Finding:
    """Each stream must end by its own rule, tell its usage, and be readable line by line."""
    asked = request(found, user("Say hello."), max_tokens=4)
    names = found.model.names
    native = {**ollama_body(found, asked, names["ollama"]), "stream": True}
    openai = {**vllm_body(found, asked, names["vllm"]), "stream": True, "stream_options": {"include_usage": True}}
    first = await found.stream("ollama", "/api/chat", native)
    second = await found.stream("vllm", "/v1/chat/completions", openai)
    ours, our_problems = _ndjson(first)
    theirs, their_problems = _sse(second)
    problems = [f"Ollama: {p}" for p in our_problems] + [f"vLLM: {p}" for p in their_problems]
    step = "; ".join(problems) + ": a proxy between (buffering, compression), or a version whose streams we cannot read"
    return compared("stream framing", ours, theirs, fail=step if problems else "")


def _ndjson(stream: Stream) -> tuple[str, list[str]]:
    """What a native stream of Ollama showed, and what is wrong with it."""
    if stream.status != 200 or stream.problem:
        return f"HTTP {stream.status} {stream.problem}".strip(), ["no stream"]
    frames = [_frame(line) for line in stream.lines]
    last = frames[-1] if frames else {}
    problems = ["a line is no JSON object"] if any(not f for f in frames) else []
    problems += [] if last.get("done") is True else ["no last line with `done`"]
    problems += [] if isinstance(last.get("eval_count"), int) else ["no token count"]
    return f"{len(frames)} lines of {stream.kind.partition(';')[0]}, usage on the last", problems


def _sse(stream: Stream) -> tuple[str, list[str]]:
    """What a stream of vLLM showed, and what is wrong with it. Its first frame has a role and no text."""
    if stream.status != 200 or stream.problem:
        return f"HTTP {stream.status} {stream.problem}".strip(), ["no stream"]
    data = [line.removeprefix("data:").strip() for line in stream.lines if line.startswith("data:")]
    frames = [_frame(line) for line in data if line != "[DONE]"]
    problems = [] if data and data[-1] == "[DONE]" else ["no [DONE] at the end"]
    problems += ["a frame is no JSON object"] if any(not f for f in frames) else []
    problems += ["an error in the stream"] if any("error" in f for f in frames) else []
    problems += [] if any(isinstance(f.get("usage"), dict) for f in frames) else ["no usage, though it was asked for"]
    role = "role-only first frame, " if frames and not _content(frames[0]) else ""
    return f"{len(frames)} frames, {role}usage, [DONE]" if not problems else f"{len(frames)} frames", problems


def _frame(line: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _content(frame: Mapping[str, Any]) -> str:
    choices = frame.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    delta = first.get("delta") if isinstance(first, dict) else None
    return str(delta.get("content") or "") if isinstance(delta, dict) else ""


async def refuses_bad(found: Wire) -> Finding:
    """Requests that are wrong: no JSON, a temperature of 5, a schema that is none."""
    asked, names = request(found, user("Say hello."), max_tokens=1), found.model.names
    ollama, vllm = ollama_body(found, asked, names["ollama"]), vllm_body(found, asked, names["vllm"])
    wrong = {"type": "no-such-type"}
    shape = {"type": "json_schema", "json_schema": {"name": "answer", "schema": wrong}}
    hot = {**ollama, "options": {**ollama["options"], "temperature": 5}}
    told = {
        "no JSON": (
            await found.raw("ollama", "/api/chat", b"{"), await found.raw("vllm", "/v1/chat/completions", b"{")
        ),
        "temperature 5": (
            await found.ollama("/api/chat", hot), await found.vllm("/v1/chat/completions", {**vllm, "temperature": 5})
        ),
        "a schema that is none": (
            await found.ollama("/api/chat", {**ollama, "format": wrong}),
            await found.vllm("/v1/chat/completions", {**vllm, "response_format": shape}),
        ),
    }  # fmt: skip
    shown = ["; ".join(f"{what} {_status(pair[i])}" for what, pair in told.items()) for i in (0, 1)]
    taken = [f"vLLM takes {what}" for what, (_, theirs) in told.items() if theirs.ok]
    taken += [f"Ollama takes {what}" for what in ("no JSON", "a schema that is none") if told[what][0].ok]
    ill = [f"vLLM answers {pair[1].status} to {what}" for what, pair in told.items() if pair[1].status >= 500]
    known = told["a schema that is none"][0]
    if known.status >= 500 and "invalid" not in problem_of(known):
        ill.append(f"Ollama answers {known.status} to a schema that is none")
    if ill:
        step = "; ".join(ill) + ": the client takes that for an ill engine and would ask the other one"
        return compared("bad requests refused", *shown, fail=step)
    warn = "; ".join(taken) + ": whoever sends one gets an answer that he did not ask for" if taken else ""
    return compared("bad requests refused", *shown, warn=warn)


def _status(reached: Reached) -> str:
    return f"HTTP {reached.status}" if reached.status else problem_of(reached)


async def notices_leaving(found: Wire) -> Finding:
    """Start a long answer on vLLM, leave after the first words, and see its running requests go back."""
    check, ollama = "disconnect frees the engine", "not told: it has no metrics (its log says 499)"
    before = await _running(found)
    if before is None:
        step = (
            "vLLM shows no metric vllm:num_requests_running: see in its log that a request ends when its caller leaves"
        )
        return compared(check, ollama, "no metric", warn=step)
    asked = request(found, user("Count from one to one thousand in words."), max_tokens=400)
    body = {**vllm_body(found, asked, found.model.names["vllm"]), "stream": True}
    await found.stream("vllm", "/v1/chat/completions", body, leave_after=LEAVES_AFTER)
    after: float | None = None
    for look in range(LOOKS):
        after = await _running(found)
        if after is not None and after <= before:
            return compared(check, ollama, f"running {before:g}, again {after:g} at look {look + 1} of {LOOKS}")
        await asyncio.sleep(LOOK_EVERY_S)
    step = "vLLM goes on for a caller who has left, or others asked meanwhile: run the doctor again at a quiet hour"
    return compared(check, ollama, f"running {before:g}, then {after}", warn=step)


async def _running(found: Wire) -> float | None:
    """Requests at work in vLLM; None where it does not tell."""
    values = RUNNING.findall(await found.text("vllm", "/metrics"))
    return sum(map(float, values)) if values else None


BEHAVIOUR = (framing, refuses_bad, notices_leaving)
