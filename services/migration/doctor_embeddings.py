"""Compares the vectors of both engines: dimension, length, and paired cosine. Never by the chat model's route."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from services.llm.registry import Model, models
from services.llm.spaces import NORM_TOLERANCE
from services.migration.doctor_wire import Wire
from services.migration.engines import Reached
from services.migration.findings import Finding, compared
from services.migration.probes import problem_of

EMBEDDING_SERVICES = ("rag",)
"""Services that search by vectors."""

MOST_CHUNKS = 200
ENOUGH_ALONE = 4
"""Texts that show dimension and length where there is nothing to compare with; more would only cost time."""

ENOUGH = 0.99
"""The 5th percentile of paired cosines that makes two backends one space (`reference/engines.md`, row 40)."""

LONG = "word " * 600
"""Longer than the windows of common embedding models (512 tokens), cheap for a larger one."""


async def embeddings(found: Wire, service: str, chunks: Sequence[str]) -> list[Finding]:
    """E1 to E3 and E6 on the service's own texts. E4 and E5, about an index that is there, are `doctor_index`."""
    if service not in EMBEDDING_SERVICES:
        return []
    entries = [m for m in models().values() if m.space is not None and "ollama" in m.names]
    entries = [m for m in entries if "in_process" not in m.names]  # such a model moves with no engine
    if not entries:
        said = "no alias of models.toml has a [space]"
        return [
            compared("embedding space", said, said, warn="name an embedding model in models.toml, or embed nothing")
        ]
    entry = next((m for m in entries if "vllm" in m.names), entries[0])
    name = entry.names.get("vllm", found.model.names["vllm"])
    texts = [c for c in chunks if c.strip()][:MOST_CHUNKS]
    vllm = await found.embeddings({"model": name, "input": texts})
    texts = texts if vllm.ok else texts[:ENOUGH_ALONE]
    ollama = await found.ollama("/api/embed", {"model": entry.names["ollama"], "input": texts, "truncate": False})
    space = _space(entry, _rows(ollama.body.get("embeddings")), _openai_rows(vllm), len(texts), (ollama, vllm))
    return [space, await _long(found, entry, name)] if vllm.ok else [space]


def vectors_of(reached: Reached) -> list[list[float]]:
    """The vectors of either engine's answer; none where a single one is not a list of numbers."""
    return _rows(reached.body.get("embeddings")) or _openai_rows(reached)


def _openai_rows(reached: Reached) -> list[list[float]]:
    return _rows([d.get("embedding") for d in reached.body.get("data") or ()])


def _rows(value: object) -> list[list[float]]:
    """The vectors of an answer; none where a single one is not a list of numbers."""
    if not isinstance(value, list):
        return []
    whole = all(isinstance(r, list) and r and all(isinstance(x, int | float) for x in r) for r in value)
    return [[float(x) for x in row] for row in value] if whole else []


def _space(
    entry: Model, ours: list[list[float]], theirs: list[list[float]], texts: int, raw: tuple[Reached, Reached]
) -> Finding:
    """One finding for dimension, length and cosine: together they say whether an index may be shared."""
    shown = [told(rows, reached) for rows, reached in zip((ours, theirs), raw, strict=True)]
    both = (f"{entry.alias}: {shown[0]}", shown[1])
    if problem := _unlike_registry(entry, ours, texts):
        return compared("embedding space", *both, fail=problem)
    if not raw[1].ok:
        step = (
            "vLLM does not embed: a server of generations has no /v1/embeddings. Embeddings stay on Ollama, moving "
            "chat moves none. To move them: start a second vLLM with `--runner pooling --served-model-name NAME`, add "
            f"`vllm = NAME` to [{entry.alias}] in models.toml, run the doctor with --embed-url, embed the index anew"
        )
        return compared("embedding space", *both, warn=step)
    if len(theirs) != texts or len(theirs[0]) != len(ours[0]):
        return compared("embedding space", *both, fail="another number or length of vectors: never share an index")
    low = percentile_5([cosine(a, b) for a, b in zip(ours, theirs, strict=True)])
    shown_low = f"{both[1]}; paired cosine p5 {low:.4f} on {texts} texts"
    if low < ENOUGH or not unit(theirs):
        step = f"another space (cosine p5 below {ENOUGH}, or not of length 1): embed the index anew before moving it"
        return compared("embedding space", both[0], shown_low, fail=step)
    return compared("embedding space", both[0], shown_low)


def told(rows: list[list[float]], reached: Reached) -> str:
    """How many vectors, of what size; else what came in their place."""
    if not rows:
        return f"HTTP {reached.status} {problem_of(reached)}".strip()
    lengths = [math.hypot(*row) for row in rows]
    return f"{len(rows)} vectors, dimension {len(rows[0])}, length {min(lengths):.3f}..{max(lengths):.3f}"


def _unlike_registry(entry: Model, rows: list[list[float]], texts: int) -> str:
    """What in Ollama's vectors is not of the alias's space."""
    assert entry.space is not None
    if len(rows) != texts or not rows:
        return "Ollama gave no vector for each text; see that it has the model and that every chunk fits its window"
    if any(len(row) != entry.space.dimension for row in rows):
        return f"the registry's space has {entry.space.dimension} components: another model lies behind the alias"
    if entry.space.normalised and not unit(rows):
        return "the registry's space is of length 1, these are not (/api/embeddings is not, /api/embed is)"
    return ""


def unit(rows: list[list[float]]) -> bool:
    """Whether every vector is of length 1, within the tolerance of a space."""
    return all(abs(math.hypot(*row) - 1) <= NORM_TOLERANCE for row in rows)


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Of two vectors of one length; 0 where one is nothing."""
    lengths = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def percentile_5(values: Sequence[float]) -> float:
    """The value that 95 % are not below; with fewer than 20 it is the least."""
    return sorted(values)[int(len(values) * 0.05)]


async def _long(found: Wire, entry: Model, name: str) -> Finding:
    """A long text, with Ollama's default, which is to cut. Only asked where embeddings could move."""
    body: Mapping[str, Any] = {"model": entry.names["ollama"], "input": [LONG]}
    reached = await found.ollama("/api/embed", body)
    counted = reached.body.get("prompt_eval_count")
    ollama = f"HTTP {reached.status}, {counted} tokens of a text of about 600 words"
    vllm = await found.embeddings({"model": name, "input": [LONG]})
    cut = isinstance(counted, int) and counted < 600
    warn = "Ollama cut it in silence: chunk by tokens, and send truncate=false" if cut and reached.ok else ""
    other = f"HTTP {vllm.status} {problem_of(vllm)[:60]}".strip()
    return compared("embedding of long texts", ollama, other, warn=warn)
