"""Notes' HTTP face for folders of Markdown: a ZIP in, with a word on each file, and a ZIP out."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from services.notes.api import UseCases
from services.notes.folder import NotAFolder
from services.notes.schemas_tags import ImportedInfo, ImportReport
from services.notes.transfer import IN_MEMORY_BYTES, bring_in, write_out
from services.web.problems import Problem

ZIP = "application/zip"
PIECE_BYTES = 256 * 1024
IMPORT_PATH = "/v1/import"

_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}}
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}, "description": "Every note, as a ZIP"}
}


def router() -> APIRouter:
    """The routes of folders."""
    routes = APIRouter(tags=["notes"])
    add = routes.add_api_route
    add(IMPORT_PATH, import_folder, methods=["POST"], openapi_extra=_BODY, summary="Bring in a folder of Markdown")
    add(
        "/v1/export",
        export_folder,
        methods=["GET"],
        response_class=StreamingResponse,
        responses=_ANSWER,
        summary="Every note as a folder of Markdown",
    )
    return routes


async def import_folder(request: Request, notes: UseCases) -> ImportReport:
    """A ZIP of Obsidian's or Joplin's Markdown, or of our own export. Files that are no notes are told, others go on.

    Sending the same folder again changes nothing.
    """
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as archive:
        async for piece in request.stream():
            await asyncio.to_thread(archive.write, piece)
        try:
            files = await bring_in(notes.notebook, archive)
        except NotAFolder as exc:
            raise Problem(422, "folder-unreadable", f"{exc}") from exc
    return ImportReport(files=[ImportedInfo.model_validate(f) for f in files])


async def export_folder(notes: UseCases) -> StreamingResponse:
    """Archived notes and history included; nothing that Notes keeps is lost by `export` and `import`."""
    headers = {"Content-Disposition": 'attachment; filename="notes.zip"'}
    return StreamingResponse(_pieces(await write_out(notes.notebook)), media_type=ZIP, headers=headers)


async def _pieces(out: IO[bytes]) -> AsyncIterator[bytes]:
    with out:
        while piece := await asyncio.to_thread(out.read, PIECE_BYTES):
            yield piece
