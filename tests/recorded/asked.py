"""What is asked of each engine for the recordings: one named row per request.

`REPEAT` in a body stands for a long text, so that neither this file nor a recording holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VLLM, OLLAMA = "smollm2-135m", "smollm2-135m:latest"
REPEAT = "$repeat"
"""`{"$repeat": [text, times]}` is sent as the text that many times."""

SYSTEM = {"role": "system", "content": "You answer briefly."}
HELLO = [SYSTEM, {"role": "user", "content": "Say hello."}]
COUNT = [SYSTEM, {"role": "user", "content": "Count: 1, 2, 3, 4, 5, 6, 7, 8"}]
BEGUN = [SYSTEM, {"role": "user", "content": "Count from one to ten in words."}]
BEGUN += [{"role": "assistant", "content": "One, two,"}]
BEGUN_DOCUMENT = [*HELLO, {"role": "assistant", "content": '{"colour": "'}]
LONG = {REPEAT: ["word ", 6000]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["mauve", "teal"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
BAD_SCHEMA = {"type": "object", "properties": {"x": {"type": "nonsense"}}, "required": ["x"]}
TOOL = {
    "type": "function",
    "function": {"name": "paint", "description": "Paint the wall.", "parameters": SCHEMA},
}
STRICT_TOOL = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CALLED = [
    *HELLO,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "call_0", "type": "function", "function": {"name": "paint", "arguments": '{"colour": "teal"}'}}
        ],
    },
    {"role": "tool", "content": "done", "tool_call_id": "call_0"},
]
CALLED_NATIVE = [
    *HELLO,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "paint", "arguments": {"colour": "teal"}}}],
    },
    {"role": "tool", "content": "done", "tool_name": "paint"},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. `body` is JSON, or the raw text where a string; `limit_s` is how long the recorder waits."""

    name: str
    path: str
    body: Any = None
    method: str = "POST"
    limit_s: float = 60.0


def _v(name: str, messages: Any = None, **more: Any) -> Asked:
    fields = {"model": VLLM, "messages": HELLO if messages is None else messages, "max_tokens": 8, "temperature": 0}
    return Asked(name=name, path="/v1/chat/completions", body={**fields, **more})


def _o(name: str, messages: Any = None, *, options: dict[str, Any] | None = None, **more: Any) -> Asked:
    """Always in the window that the model is loaded with: another one would load it anew."""
    body = {
        "model": OLLAMA,
        "messages": HELLO if messages is None else messages,
        "stream": False,
        "options": {"num_ctx": 4096, "num_predict": 8, "temperature": 0, **(options or {})},
        "keep_alive": -1,
    }
    return Asked(name=name, path="/api/chat", body={**body, **more})


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _image(text: str) -> list[dict[str, Any]]:
    url = {"url": f"data:image/png;base64,{PIXEL}"}
    return [{"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": url}]}]


STREAM = {"stream": True, "stream_options": {"include_usage": True}}
CONTINUE = {"add_generation_prompt": False, "continue_final_message": True}
NAMED = {"type": "function", "function": {"name": "paint"}}
LONG_CHAT = [{"role": "user", "content": LONG}]

ASKED_OF_VLLM = (
    _v("whole answer", max_tokens=40),
    _v("stream", max_tokens=40, **STREAM),
    _v("finish length", COUNT, max_tokens=3),
    _v("stream, finish length", COUNT, max_tokens=3, **STREAM),
    _v("stop string", max_tokens=40, stop=["math"]),
    _v("stop string in a stream", max_tokens=40, stop=["math"], **STREAM),
    _v("schema document", response_format=_document(SCHEMA), max_tokens=48),
    _v("schema document in a stream", response_format=_document(SCHEMA), max_tokens=48, **STREAM),
    _v("schema cut by max_tokens", response_format=_document(SCHEMA), max_tokens=2),
    _v("unknown model", model="no-such-model"),
    _v("no model named", model=None),
    _v("prompt too long", LONG_CHAT),
    _v("prompt too long, streamed", LONG_CHAT, **STREAM),
    _v("max_tokens above the window", max_tokens=100_000),
    _v("max_tokens 0", max_tokens=0),
    _v("temperature out of range", temperature=5),
    Asked(name="body that is no JSON", path="/v1/chat/completions", body="{not json"),
    _v("bad schema", response_format=_document(BAD_SCHEMA)),
    _v("bad schema, streamed", response_format=_document(BAD_SCHEMA), **STREAM),
    _v("five stop strings", stop=["a", "b", "c", "d", "e"]),
    _v("tools, auto, no parser flags", tools=[STRICT_TOOL], tool_choice="auto"),
    _v("tools, required, no parser flags", tools=[STRICT_TOOL], tool_choice="required"),
    _v("tools, named, no parser flags", tools=[STRICT_TOOL], tool_choice=NAMED),
    _v("tools, none, no parser flags", tools=[STRICT_TOOL], tool_choice="none"),
    _v("image on a text model", _image("What is this?")),
    _v("thinking off on a model that has none", chat_template_kwargs={"enable_thinking": False}),
    _v("two choices", n=2),
    _v("logprobs", COUNT, logprobs=True, top_logprobs=1, max_tokens=2),
    _v("no messages", []),
    _v("unknown role", [{"role": "banana", "content": "Hi"}]),
    _v("role tool", CALLED),
    _v("prefill", BEGUN, max_tokens=12, **CONTINUE),
    _v("prefill in a stream", BEGUN, max_tokens=12, **CONTINUE, **STREAM),
    _v("prefill with a schema", BEGUN_DOCUMENT, response_format=_document(SCHEMA), max_tokens=48, **CONTINUE),
    _v("prefill with both flags", BEGUN, add_generation_prompt=True, continue_final_message=True),
    Asked(name="embeddings on a generate server", path="/v1/embeddings", body={"model": VLLM, "input": ["a"]}),
    Asked(name="unknown path", path="/v1/no/such/path", body={}),
    Asked(name="wrong method", path="/v1/chat/completions", method="GET"),
    Asked(name="tokenize", path="/tokenize", body={"model": VLLM, "messages": HELLO}),
    Asked(name="tokenize, unknown model", path="/tokenize", body={"model": "no-such-model", "messages": HELLO}),
    Asked(name="models", path="/v1/models", method="GET"),
)

ASKED_OF_OLLAMA = (
    _o("whole answer", options={"num_predict": 40}),
    _o("stream", options={"num_predict": 40}, stream=True),
    _o("finish length", COUNT, options={"num_predict": 3}),
    _o("stream, finish length", COUNT, options={"num_predict": 3}, stream=True),
    _o("stop string", options={"num_predict": 40, "stop": ["math"]}),
    _o("schema document", format=SCHEMA, options={"num_predict": 48}),
    _o("schema document in a stream", format=SCHEMA, options={"num_predict": 48}, stream=True),
    _o("schema cut by max_tokens", format=SCHEMA, options={"num_predict": 2}),
    _o("unknown model", model="no-such-model:latest"),
    _o("unknown model, streamed", model="no-such-model:latest", stream=True),
    Asked(name="no model named", path="/api/chat", body={"messages": HELLO, "stream": False}),
    _o("temperature out of range", options={"temperature": 5}),
    _o("option of a wrong type", options={"temperature": "hot"}),
    Asked(name="body that is no JSON", path="/api/chat", body="{not json"),
    _o("bad schema", format=BAD_SCHEMA),
    _o("bad schema, streamed", format=BAD_SCHEMA, stream=True),
    _o("format that is no schema", format="nonsense"),
    _o("five stop strings", options={"stop": ["a", "b", "c", "d", "e"]}),
    _o("tools on a template without them", tools=[TOOL]),
    _o("tools on a template without them, streamed", tools=[TOOL], stream=True),
    _o("image on a text model", [{"role": "user", "content": "What is this?", "images": [PIXEL]}]),
    _o("think on a model that does not", think=True),
    _o("think off on a model that does not", think=False),
    _o("n and logprobs", n=2, logprobs=True),
    _o("no messages", []),
    _o("unknown role", [{"role": "banana", "content": "Hi"}]),
    _o("role tool", CALLED_NATIVE),
    _o("prefill", BEGUN, options={"num_predict": 12}),
    _o("prefill with a schema", BEGUN_DOCUMENT, format=SCHEMA, options={"num_predict": 48}),
    _o("prefill in a stream", BEGUN, options={"num_predict": 12}, stream=True),
    Asked(name="unknown path", path="/api/no-such-path", body={}),
    Asked(name="wrong method", path="/api/chat", method="GET"),
    Asked(name="running models", path="/api/ps", method="GET"),
    Asked(
        name="embed",
        path="/api/embed",
        body={"model": OLLAMA, "input": ["a wall", "a house"], "truncate": False, "options": {"num_ctx": 4096}},
    ),
    Asked(name="embed, unknown model", path="/api/embed", body={"model": "no-such-model:latest", "input": ["a"]}),
    Asked(
        name="embed, text beyond the window",
        path="/api/embed",
        body={"model": OLLAMA, "input": [{REPEAT: ["word ", 200]}], "truncate": False, "options": {"num_ctx": 64}},
        limit_s=20.0,
    ),
)
"""Never a chat prompt beyond Ollama's window: 0.9.3 then holds its only slot for more than ten minutes."""
