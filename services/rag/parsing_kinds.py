"""What kind of document some bytes are: what they begin with, held against what their sender says. Pure."""

from __future__ import annotations

import enum
import io
import re
import zipfile
from pathlib import PurePath

from services.rag.parsed import Refusal, Source


class Kind(enum.StrEnum):
    """What can be read, as its media type."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    HTML = "text/html"
    MARKDOWN = "text/markdown"
    TEXT = "text/plain"


READABLE = "PDF, docx, pptx, xlsx, HTML, Markdown or plain text"
TEXTS = frozenset({Kind.HTML, Kind.MARKDOWN, Kind.TEXT})

BY_SUFFIX = {
    ".pdf": Kind.PDF,
    ".docx": Kind.DOCX,
    ".pptx": Kind.PPTX,
    ".xlsx": Kind.XLSX,
    ".html": Kind.HTML,
    ".htm": Kind.HTML,
    ".xhtml": Kind.HTML,
    ".md": Kind.MARKDOWN,
    ".markdown": Kind.MARKDOWN,
    ".txt": Kind.TEXT,
    ".text": Kind.TEXT,
    ".log": Kind.TEXT,
    ".csv": Kind.TEXT,
    ".rst": Kind.TEXT,
}
ALSO_CALLED = {
    "application/xhtml+xml": Kind.HTML,
    "text/x-markdown": Kind.MARKDOWN,
    "application/x-pdf": Kind.PDF,
    "text/csv": Kind.TEXT,
}
SAYS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/zip"})
"""Media types that senders use for anything: the name and the bytes decide."""

_MAIN_PARTS = {"word/": Kind.DOCX, "ppt/": Kind.PPTX, "xl/": Kind.XLSX}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HTML = re.compile(
    rb"\s*+(?:<\?xml[^>]*+>\s*+)?(?:(?><!--.*?-->)\s*+)*+<(!doctype\s+html|html|head|body)\b", re.I | re.S
)
"""Possessive: to try every way of splitting many comments would take a time exponential in them."""
_FOREIGN = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"SQLite format 3": "an SQLite file",
    b"{\\rtf": "RTF",
}


def kind_of(source: Source) -> Kind:
    """The kind to read `source` as. Raises `Refusal`: empty, of no kind we read, or not what its sender says."""
    if not source.data.strip(b"\0 \t\r\n"):
        raise Refusal("document-empty", f"{source.name!r} is empty; send the file again")
    said, found = said_kind(source), _seen(source)
    if said is None:
        return found or _by_suffix(source) or Kind.TEXT
    if (found or Kind.TEXT) is said or (said in TEXTS and found in (None, Kind.HTML)):
        return said
    is_now = f"its bytes are {found}" if found else f"its bytes do not begin as {said} does"
    raise Refusal("type-mismatch", f"{source.name!r} is called {said}, but {is_now}; send it under what it is")


def said_kind(source: Source) -> Kind | None:
    """What the sender calls it: the media type, else the suffix; None where both say nothing."""
    media_type = source.media_type.partition(";")[0].strip().lower()
    if media_type in SAYS_NOTHING or (media_type == Kind.TEXT and _by_suffix(source) in TEXTS):
        return _by_suffix(source)
    known = ALSO_CALLED.get(media_type) or next((k for k in Kind if k == media_type), None)
    if known is None and media_type.startswith("text/"):
        return Kind.TEXT
    if known is None:
        raise Refusal("type-unknown", f"{source.name!r} is {media_type!r}, which nobody here reads; send {READABLE}")
    return known


def _by_suffix(source: Source) -> Kind | None:
    return BY_SUFFIX.get(PurePath(source.name).suffix.lower())


def _seen(source: Source) -> Kind | None:
    """What the bytes are for sure; None where they may be any text."""
    data = source.data
    if b"%PDF-" in data[:1024]:
        return Kind.PDF
    if data.startswith(_OLE):
        detail = "is an encrypted Office file or one of before 2007; save it without a password as docx, pptx or xlsx"
        raise Refusal("office-encrypted", f"{source.name!r} {detail}")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _inside(source)
    for begin, what in _FOREIGN.items():
        if data.startswith(begin):
            raise Refusal("type-unknown", f"{source.name!r} is {what}; send {READABLE}")
    return Kind.HTML if _HTML.match(data[:4096]) else None


def _inside(source: Source) -> Kind:
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as exc:
        # All that `zipfile` raises for bytes in memory: its own error, one for a newer format, and a `ValueError` for
        # a name that is not the UTF-8 it claims to be or for an offset outside of the file.
        detail = f"{source.name!r} is cut off or damaged ({exc}); send the file again"
        raise Refusal("office-damaged", detail) from exc
    if "[Content_Types].xml" in names:
        for folder, kind in _MAIN_PARTS.items():
            if any(name.startswith(folder) for name in names):
                return kind
    raise Refusal("type-unknown", f"{source.name!r} is an archive, not a document; unpack it and send the files")
