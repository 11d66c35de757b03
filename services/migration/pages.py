"""Reads what answers on an engine's port, which may be anything: another program, a web page, half an engine. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def parsed(content: bytes | str) -> Any:
    """Of JSON. Raises `ValueError` for what is none, also where it is nested too deep to be read."""
    try:
        return json.loads(content)
    except RecursionError as exc:
        raise ValueError("nested too deep to be read") from exc


def table(found: object) -> Mapping[str, Any]:
    """An object as it is; an empty one for anything else."""
    return found if isinstance(found, Mapping) else {}


def objects(page: object, key: str) -> list[Mapping[str, Any]]:
    """The objects of the list that `page` has under `key`; none where it has no such list."""
    found = table(page).get(key)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def text(page: object, key: str) -> str:
    """The text that `page` has under `key`; empty where it has none."""
    found = table(page).get(key)
    return found if isinstance(found, str) else ""
