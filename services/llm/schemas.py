"""JSON schemas (draft 2020-12): whether one is sound, and what in a document does not fit it. Pure; fetches nothing.

Loaded with the first schema: the library takes longer to import than the rest of the client.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
import referencing.jsonschema

from services.llm.types import JSONSchema


def _nothing_else() -> referencing.Registry[Any]:
    """No schema but the one at hand; the validator's own registry would fetch what a `$ref` names from the network."""
    return referencing.Registry()


def problem(schema: JSONSchema) -> str | None:
    """Why `schema` is not a JSON schema (draft 2020-12); None when it is."""
    try:
        return _problem_of(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError) as exc:
        return f"it is not JSON: {exc}"
    except RecursionError:
        return "it is nested too deep"


@functools.lru_cache(maxsize=64)
def _problem_of(text: str) -> str | None:
    """Kept, because a service sends the same few schemas for ever and looking through one takes milliseconds."""
    schema = json.loads(text)
    json.dumps(schema, ensure_ascii=False).encode()  # half of a surrogate pair cannot be sent
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as exc:
        return str(exc.message)
    return _dangling(schema)


def _dangling(schema: JSONSchema) -> str | None:
    """A reference that leads nowhere within the schema. Nothing is ever fetched for one."""
    root = referencing.jsonschema.DRAFT202012.create_resource(dict(schema))
    resolver = _nothing_else().with_resource("", root).resolver()
    for reference in _references(schema):
        try:
            resolver.lookup(reference)
        except referencing.exceptions.Unresolvable:
            return f"$ref {reference!r} leads nowhere in it"
    return None


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (part[name] for name in ("$ref", "$dynamicRef") if isinstance(part.get(name), str))
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _references(one)


def misfit(schema: JSONSchema, document: Any) -> str | None:
    """The first thing in `document` that does not fit; None when it does."""
    try:
        error = jsonschema.exceptions.best_match(_validator(json.dumps(schema)).iter_errors(document))
    except RecursionError:
        return "the schema goes round in circles"
    except (ArithmeticError, referencing.exceptions.Unresolvable) as exc:
        return f"it cannot be judged: {exc}"
    return str(error.message) if error else None


@functools.lru_cache(maxsize=64)
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema), registry=_nothing_else())
