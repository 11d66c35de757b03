"""Both fake engines of `house`: two that serve one model alike, with the differences that the real ones always have."""

from __future__ import annotations

import json
from typing import Any

import httpx2

OLLAMA, VLLM = "smollm2-135m:latest", "smollm2-135m"
HELD = 4096  # tokens of either window
METRICS = """vllm:num_requests_running{engine="0"} 0.0
vllm:prefix_cache_queries_total{engine="0"} 100.0
vllm:prefix_cache_hits_total{engine="0"} 10.0
vllm:cache_config_info{engine="0",gpu_memory_utilization="0.92"} 1.0
"""
SHOWN = {
    "parameters": 'num_ctx    4096\nstop    "<|end|>"\n', "details": {"quantization_level": "F16"}, "capabilities": [],
    "model_info": {"general.basename": "weights"}, "modelfile": "FROM /b/x\n", "template": "{{ .Prompt }}",
}  # fmt: skip


def ok(body: dict[str, Any]) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def refused(status: int, said: str) -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"message": said, "code": status}})


def answered(engine: str, path: str, body: dict[str, Any] | None, root: str) -> httpx2.Response:
    """What `engine` says to a request; `body` is None where it was no JSON."""
    if body is None:
        return refused(400, "no JSON")
    return _ollama(path, body) if engine == "ollama" else _vllm(path, body, root)


def _ollama(path: str, body: dict[str, Any]) -> httpx2.Response:
    match path:
        case "/api/version":
            return ok({"version": "0.9.3"})
        case "/api/tags":
            return ok({"models": [{"name": OLLAMA, "digest": "d1"}]})
        case "/api/ps":
            return ok({"models": [{"name": OLLAMA, "size": 10, "size_vram": 0, "expires_at": "2319-01-01T00:00:00Z"}]})
        case "/api/show":
            return ok(SHOWN)
        case "/api/embed":
            return ok({"embeddings": [[1.0] + [0.0] * 575 for _ in body["input"]], "prompt_eval_count": 700})
        case "/v1/chat/completions":
            known = {k: v for k, v in body.items() if k not in ("max_completion_tokens", "n")}
            return generated({"max_tokens": 7, **known}, OLLAMA, native=False)
        case "/api/chat" if body.get("tools"):
            return httpx2.Response(400, json={"error": "does not support tools"})
        case "/api/chat" if _bad_schema(body.get("format")):
            return httpx2.Response(500, json={"error": "invalid JSON schema in format"})
        case "/api/chat":
            return generated(body, OLLAMA, native=True)
        case _:
            return httpx2.Response(404, text="404 page not found")


def _vllm(path: str, body: dict[str, Any], root: str) -> httpx2.Response:
    match path:
        case "/version":
            return ok({"version": "0.32.0"})
        case "/v1/models":
            return ok({"data": [{"id": VLLM, "root": root, "max_model_len": HELD}]})
        case "/metrics":
            return httpx2.Response(200, text=METRICS)
        case "/tokenize":
            return _tokenized(body)
        case "/v1/chat/completions":
            return _asked(body)
        case _:
            return httpx2.Response(404, json={"detail": "Not Found"})


def _tokenized(body: dict[str, Any]) -> httpx2.Response:
    count = _words(body["messages"]) if "messages" in body else 1
    return ok({"count": count, "tokens": list(range(count)), "token_strs": ["<s>", "user", *["w"] * (count - 2)]})


def _asked(body: dict[str, Any]) -> httpx2.Response:
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if body.get("tools"):
        return refused(400, "tool choice requires --tool-call-parser to be set")
    if body["temperature"] > 2 or _bad_schema(schema):
        return refused(400, "out of range, or a Grammar error")
    if any(isinstance(m["content"], list) for m in body["messages"]):
        return refused(400, "is not a multimodal model")
    limit = body.get("max_completion_tokens") or body["max_tokens"]
    return generated({**body, "max_tokens": limit}, VLLM, native=False)


def _bad_schema(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "no-such-type"


def _words(messages: list[dict[str, Any]]) -> int:
    return sum(len(m["content"].split()) + 4 for m in messages)


def generated(body: dict[str, Any], name: str, *, native: bool) -> httpx2.Response:
    """A short answer that keeps the limit, the stops and the schema."""
    if body["model"] != name:
        return httpx2.Response(404, json={"error": "not found"})
    words = _words(body["messages"])
    if words > HELD and not native:
        return refused(400, "too long")
    options = body["options"] if native else body
    limit, stops = options["num_predict" if native else "max_tokens"], options.get("stop") or ()
    schema = body.get("format") if native else body.get("response_format") or body.get("structured_outputs")
    text = '{"word": "zebra"}' if schema else "hello word"
    cut = next((text[: text.index(s)] for s in stops if s in text), None)
    text, made = (text if cut is None else cut), min(limit, 7)
    finish = "length" if cut is None else "stop"
    if native:
        answer = {"message": {"content": text}, "prompt_eval_count": min(words, HELD), "eval_count": made,
                  "done_reason": finish, "done": True, "load_duration": 10_000_000}  # fmt: skip
        return ok(answer) if not body.get("stream") else _lines([{"message": {"content": "h"}, "done": False}, answer])
    usage = {"prompt_tokens": words, "completion_tokens": made}
    if body.get("stream"):
        frames = [{"choices": [{"delta": {"role": "assistant", "content": ""}}]}, {"choices": [], "usage": usage}]
        told = "".join(f"data: {json.dumps(f)}\n\n" for f in frames) + "data: [DONE]\n\n"
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=told)
    choice = {"message": {"content": text}, "finish_reason": finish}
    return ok({"choices": [choice] * body.get("n", 1), "usage": usage})


def _lines(frames: list[dict[str, Any]]) -> httpx2.Response:
    text = "".join(json.dumps(f) + "\n" for f in frames)
    return httpx2.Response(200, headers={"content-type": "application/x-ndjson"}, text=text)
