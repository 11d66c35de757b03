"""Fields that clients of one engine send and the other takes with 200 and ignores: who ignores each, what to send then.

On /v1 of either. `swallowed` asks the engines about them, `code_lint` looks for them in a team's code. Sources:
`reference/engines.md`, section 1 (4) and rows 7, 16, 26 and 55.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

IGNORED = "takes it with 200 and ignores it"
HONOURED = "honours it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What each engine's /v1 does with a field, and what both honour in its place."""

    ollama: str
    vllm: str
    instead: str


SCHEMA = "`response_format` with `json_schema`, which both engines keep"
_GUIDED = Foreign(ollama=IGNORED, vllm="has removed it: 200, and the answer is not constrained", instead=SCHEMA)
GUIDED = (
    "guided_json", "guided_choice", "guided_regex", "guided_grammar", "guided_json_object",
    "guided_decoding_backend", "guided_whitespace_pattern",
)  # fmt: skip
"""What vLLM once had. Names so peculiar that they mean one thing wherever they stand."""

_NATIVE = "is a field of Ollama's own /api only; /v1 " + IGNORED
OTHERS: Mapping[str, Foreign] = {
    "max_completion_tokens": Foreign(ollama=IGNORED, vllm=HONOURED, instead="`max_tokens`, which both engines honour"),
    "n": Foreign(ollama=IGNORED, vllm=HONOURED, instead="one request for each answer"),
    "structured_outputs": Foreign(ollama=IGNORED, vllm=HONOURED, instead=SCHEMA),
    "options": Foreign(ollama=_NATIVE, vllm=IGNORED, instead="`max_tokens`, `temperature` and so on at the top"),
    "num_predict": Foreign(ollama=_NATIVE, vllm=IGNORED, instead="`max_tokens`"),
    "num_ctx": Foreign(ollama=_NATIVE, vllm=IGNORED, instead="`--max-model-len` and `PARAMETER num_ctx`"),
    "format": Foreign(ollama=_NATIVE, vllm=IGNORED, instead=SCHEMA),
    "keep_alive": Foreign(ollama=_NATIVE, vllm=IGNORED, instead="nothing: vLLM keeps its model for life"),
    "think": Foreign(ollama=_NATIVE, vllm=IGNORED, instead="`chat_template_kwargs` for vLLM, by a wrapper"),
    "repeat_penalty": Foreign(ollama=_NATIVE, vllm=IGNORED, instead="`frequency_penalty`, or nothing"),
}
"""`n` counts where more than one answer is asked for."""

FOREIGN: Mapping[str, Foreign] = {**{name: _GUIDED for name in GUIDED}, **OTHERS}
