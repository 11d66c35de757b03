"""What the body of `POST /v1/documents` is: text as JSON, an address as JSON, or a file as multipart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from services.rag.ingest import Wanted
from services.rag.parsed import Source, plain_name
from services.rag.schemas import NewDocument
from services.rag.schemas_ingest import NewFile, NewUrl
from services.web.body_limit import MAX_BODY_BYTES
from services.web.problems import Problem

T = TypeVar("T", bound=BaseModel)

MULTIPART = "multipart/form-data"
FORM_BYTES = 64 * 1024
"""What a form has beside its file: other fields, borders, headers."""

_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "PDF, docx, pptx, xlsx, HTML, Markdown or text"},
        "title": {"type": "string", "maxLength": 300},
        "collection": {"type": "string", "maxLength": 64},
    },
}


def described() -> dict[str, Any]:
    """The request body for OpenAPI, which the framework cannot tell from a handler that reads it itself."""
    texts = [model.model_json_schema() for model in (NewDocument, NewUrl)]
    content = {"application/json": {"schema": {"anyOf": texts}}, MULTIPART: {"schema": _FILE}}
    return {"requestBody": {"required": True, "content": content}}


async def received(request: Request) -> NewDocument | NewUrl | tuple[Source, Wanted]:
    """What came. Raises `RequestValidationError`, or `Problem` 400 and 413."""
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        async with request.form(max_files=1, max_fields=8, max_part_size=FORM_BYTES) as form:
            return await filed(form)
    if media_type != "application/json":
        detail = f"Content-Type is {media_type!r}; send application/json, or a file as {MULTIPART}"
        raise Problem(415, "body-type-unknown", detail)
    body = await _json(request)
    wants_url = isinstance(body, Mapping) and "url" in body
    return _valid(NewUrl, body) if wants_url else _valid(NewDocument, body)


async def _json(request: Request) -> Any:
    """The body, counted anew: only files may be as large as this path allows."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY_BYTES:
            detail = f"the body is larger than {MAX_BODY_BYTES} bytes; send longer text as a file, {MULTIPART}"
            raise Problem(413, "body-too-large", detail)
    try:
        return json.loads(bytes(data))
    except json.JSONDecodeError as exc:
        told = {"type": "json_invalid", "loc": ("body", exc.pos), "msg": exc.msg, "input": None}
        raise RequestValidationError([told]) from exc
    except (ValueError, RecursionError) as exc:
        detail = (
            "the body is not JSON that can be read: not UTF-8, nested too deep, or with a number of too many digits"
        )
        raise Problem(400, "json-invalid", detail) from exc


async def filed(form: FormData) -> tuple[Source, Wanted]:
    """The file of a form, read, and what its other fields say of it. Raises `RequestValidationError`."""
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise _missing("file", "a file is wanted here, with a name")
    fields = {name: value for name, value in form.items() if name != "file"}
    wanted = _valid(NewFile, fields)
    name, media_type = plain_name(upload.filename or ""), upload.content_type or ""
    source = Source(data=await upload.read(), name=name, media_type=media_type if media_type.isprintable() else "")
    return source, Wanted(title=wanted.title or "", collection=wanted.collection)


def _valid(model: type[T], body: Any) -> T:
    try:
        return model.model_validate(body)
    except ValidationError as exc:
        errors = [{**error, "loc": ("body", *error["loc"])} for error in exc.errors(include_url=False)]
        raise RequestValidationError(errors) from exc


def _missing(field: str, why: str) -> RequestValidationError:
    return RequestValidationError([{"type": "missing", "loc": ("body", field), "msg": why, "input": None}])
