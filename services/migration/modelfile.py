"""Reads what Ollama's Modelfile sets, and tells what this version takes where nothing is set. Pure.

Sources: Ollama docs/modelfile.mdx and api/types.go, openai/openai.go (`reference/engines.md` rows 1, 5, 15).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

BUILT_IN = {"temperature": "0.8", "top_p": "0.9", "top_k": "40", "min_p": "0", "num_predict": "-1 (no limit)"}
FORCED_ON_V1 = {"temperature": "1", "top_p": "1"}
"""Ollama's /v1 sets these where the request does not, whatever the Modelfile says."""

PENALTY_SINCE = (0, 33)
"""0.32.10 changed `repeat_penalty` from 1.1 to 1.0; with major and minor alone 0.32 may be either."""


def parameters(shown: Mapping[str, Any]) -> dict[str, list[str]]:
    """The PARAMETERs of an `/api/show` answer by name; `stop` may be there several times."""
    found: dict[str, list[str]] = {}
    for line in str(shown.get("parameters") or "").splitlines():
        name, _, value = line.strip().partition(" ")
        if name:
            found.setdefault(name, []).append(_unquoted(value.strip()))
    return found


def _unquoted(value: str) -> str:
    if value.startswith('"') and value.endswith('"') and len(value) > 1:
        try:
            return str(json.loads(value))
        except ValueError:
            return value.strip('"')
    return value


def defaults_of_ollama(
    told: Mapping[str, list[str]], version: tuple[int, int] | None
) -> tuple[dict[str, str], dict[str, str]]:
    """What fills a field that is not sent: by the native API, then by /v1."""
    penalty = "1.0" if version is None or version >= PENALTY_SINCE else "1.1"
    if version is not None and version == (0, 32):
        penalty = "1.1 or 1.0 (1.0 since 0.32.10)"
    built_in = {**BUILT_IN, "repeat_penalty": penalty}
    native = {name: told[name][-1] if name in told else value for name, value in built_in.items()}
    return native, {**native, **FORCED_ON_V1}
