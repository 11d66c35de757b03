"""What must hold of a recipe beyond its types: items, gold, metrics, margins. Pure; tells the first problem."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.migration.gates import Override
from services.migration.quality_names import GOLD, OF_RETRIEVAL, QualityMetric, forms

MOST_TOKENS, MOST_CHARS = 8192, 200_000
TEXTS = ("phrases", "answers", "passages", "keywords", "tags")
"""Gold that is a list of texts."""
RELATIONS = GOLD[QualityMetric.RELATION_F1]
ANSWERABLE = GOLD[QualityMetric.ANSWERABILITY]
RATIO, RATE, SHARE = (1.0, 3.0), (0.3, 1.0), (0.0, 0.5)
"""The margins that can mean something: of a time, of a rate, of a share. Beyond them a margin asks for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An item as it is checked."""

    id: str
    path: str
    body: Mapping[str, Any]
    gold: Mapping[str, Any]


def of_margins(own: Mapping[str, Override], general: Mapping[str, float]) -> str:
    """A recipe may be stricter than `gates.toml` at will, and laxer where it says why."""
    for name, override in own.items():
        where = f"margins.{name}"
        if name not in general:
            return f"{where}: unknown margin; gates.toml names them all"
        low, high = _range(name)
        if not (math.isfinite(override.margin) and low <= override.margin <= high):
            return f"{where}.margin: {override.margin:g} is not between {low:g} and {high:g}"
        if not override.why.strip() and override.laxer(name, general[name]):
            return f"{where}.why: {override.margin:g} is laxer than {general[name]:g} of gates.toml, so say why"
    return ""


def _range(name: str) -> tuple[float, float]:
    if name.startswith(("ttft_", "e2e_")):
        return RATIO
    return RATE if name == "throughput" else SHARE


def of_metrics(names: Sequence[QualityMetric], *, stream: bool) -> str:
    """Each metric once, and only what the answers can be scored by."""
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        return f"metrics: {doubled[0]} is there twice (in metrics and shown together)"
    blind = [name for name in names if name in OF_RETRIEVAL and not stream]
    return f"metrics: {blind[0]} needs stream = true; only a stream tells what was retrieved" if blind else ""


def of_items(items: Sequence[Asked], names: Sequence[QualityMetric], *, nonce_field: str, least: int) -> str:
    """Ids, bodies and gold. `least` is how many items must have a metric's gold for a verdict on it."""
    doubled = [i for i, count in Counter(item.id for item in items).items() if count > 1]
    if doubled:
        return f"items: the id {doubled[0]!r} is there twice"
    asked = _asked(items, names)
    for item in items:
        problem = _body(item, nonce_field) or _gold(item, asked[item.path], nonce_field)
        if problem:
            return f"items.{item.id}.{problem}"
    for name in names:
        scored = sum(GOLD[name] in item.gold for item in items)
        if scored < least:
            return f"items: {scored} of {len(items)} have gold.{GOLD[name]}; a verdict on {name} needs {least}"
    if QualityMetric.ANSWERABILITY in names:
        told = {item.gold[ANSWERABLE] for item in items if ANSWERABLE in item.gold}
        if len(told) == 1:
            same = f"all have the same gold.{ANSWERABLE}, so an engine that never looks is always right"
            return f"items: {same}; add others"
    return next((problem for path, own in asked.items() if (problem := _path(path, own))), "")


def _asked(items: Sequence[Asked], names: Sequence[QualityMetric]) -> dict[str, list[QualityMetric]]:
    """By path, the metrics that any item there has gold for: all with gold there are then scored by all of them."""
    held: dict[str, set[str]] = {}
    for item in items:
        held.setdefault(item.path, set()).update(item.gold)
    return {path: [name for name in names if GOLD[name] in keys] for path, keys in held.items()}


def _path(path: str, own: Sequence[QualityMetric]) -> str:
    """A path whose answers nobody can judge, or that nobody can answer well."""
    if not own:
        return f"items: none that is asked at {path} has gold that a metric reads, so nobody could tell a good answer"
    if len(forms(own)) > 1:
        return f"items: those of {path} have gold for {' and '.join(own)}, and no answer holds all of that"
    return ""


def _body(item: Asked, nonce_field: str) -> str:
    text = item.body.get(nonce_field)
    if not isinstance(text, str) or not text.strip():
        return f"body.{nonce_field}: the nonce field must be a text"
    if len(text) > MOST_CHARS:
        return f"body.{nonce_field}: {len(text)} characters; {MOST_CHARS} are the most"
    for key, value in item.body.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as exc:
            return f"body.{key}: {value!r} cannot be sent as JSON: {exc}"
    cap = item.body.get("max_tokens")
    if cap is not None and (type(cap) is not int or not 0 < cap <= MOST_TOKENS):
        return f"body.max_tokens: {cap!r} is not a whole number between 1 and {MOST_TOKENS}"
    return ""


def _gold(item: Asked, names: Sequence[QualityMetric], nonce_field: str) -> str:
    """All the gold that the metrics of its path need, or none at all: a recorded request counts for time only.

    What nothing answers has but one kind, which says so.
    """
    if not item.gold:
        return ""
    if QualityMetric.ANSWERABILITY in names and item.gold.get(ANSWERABLE) is False:
        more = sorted(item.gold.keys() - {ANSWERABLE})
        return f"gold.{more[0]}: what nothing answers has no other gold than answerable = false" if more else ""
    for name in names:
        key = GOLD[name]
        if key not in item.gold:
            return f"gold.{key}: {name} needs it"
        if key == RELATIONS and not (item.body.get("relations") or item.body.get("schema")):
            return "body.relations: must be true (or name a schema), else no answer holds the relations of its gold"
        problem = _shape(key, item.gold[key], str(item.body[nonce_field]))
        if problem:
            return f"gold.{key}{problem}"
    return ""


def _shape(key: str, value: object, text: str) -> str:
    if key == "entities":
        return _entities(value, text)
    if key == RELATIONS:
        return _relations(value, text)
    if key == ANSWERABLE:
        return "" if isinstance(value, bool) else ": must be true or false"
    if key in TEXTS:
        good = isinstance(value, list) and value and all(isinstance(v, str) and v.strip() for v in value)
        return "" if good else ": must be a list of texts with at least one in it"
    return "" if isinstance(value, str) and value.strip() else ": must be a text"


def _entities(value: object, text: str) -> str:
    """An empty list is gold too: the text then names nothing."""
    if not isinstance(value, list):
        return ": must be a list, empty where the text names nothing"
    for number, entity in enumerate(value):
        if not isinstance(entity, Mapping) or set(entity) != {"text", "type", "start", "end"}:
            return f".{number}: must have text, type, start and end, and nothing else"
        start, end = entity["start"], entity["end"]
        if type(start) is not int or type(end) is not int or not 0 <= start < end:
            return f".{number}: {start!r} to {end!r} is no place in a text"
        if text[start:end] != entity["text"]:
            return f".{number}: {start} to {end} of the text is {text[start:end]!r}, not {entity['text']!r}"
    return ""


def _relations(value: object, text: str) -> str:
    """An empty list is gold too: the text then states nothing of its names."""
    if not isinstance(value, list):
        return ": must be a list, empty where the text states none"
    for number, relation in enumerate(value):
        if not isinstance(relation, Mapping) or set(relation) != {"subject", "predicate", "object"}:
            return f".{number}: must have subject, predicate and object, and nothing else"
        for end in ("subject", "object"):
            if not str(relation[end]).strip() or str(relation[end]) not in text:
                return f".{number}.{end}: {relation[end]!r} does not stand in the text"
    return ""
