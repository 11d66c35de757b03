"""What a form sent, checked by the same models as the API's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from services.web.problems import Problem

M = TypeVar("M", bound=BaseModel)
MOST_FIELDS = 100


async def fields(request: Request) -> dict[str, str]:
    """The texts of a form, without the files. Raises `Problem` 400 for what is no form."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        raise Problem(400, "form-missing", "this page takes forms")
    async with request.form(max_files=MOST_FIELDS, max_fields=MOST_FIELDS) as form:
        return {name: _lines(value) for name, value in form.items() if isinstance(value, str)}


def parsed(model: type[M], values: Mapping[str, Any]) -> M:
    """`values` as `model`, whose own rules hold; texts of numbers become numbers.

    Raises what becomes a 422.
    """
    try:
        return model.model_validate(dict(values), strict=False)
    except ValidationError as exc:
        raise RequestValidationError(exc.errors()) from exc


def _lines(text: str) -> str:
    """Browsers send a text area's line breaks as CR LF."""
    return text.replace("\r\n", "\n")
