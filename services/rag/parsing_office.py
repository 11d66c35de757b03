"""Office files as Markdown. Looked at as archives before anything is unpacked; read only in the child process."""

from __future__ import annotations

import io
import re
import zipfile
from itertools import pairwise

from services.rag.parsed import Limits, Page, Parsed, Refusal, Source
from services.rag.parsing_kinds import Kind
from services.rag.parsing_text import cleaned

_SLIDE = re.compile(r"<!-- Slide number: (\d+) -->\n?")
_DATA_PICTURE = re.compile(r"!\[([^\]]*)\]\(data:[^)]*\)")
SMALL_BYTES = 1024 * 1024
"""A part below this may be packed as tightly as it likes: an empty sheet is."""


def read_office(source: Source, kind: Kind, limits: Limits) -> Parsed:
    """The text, and the slides as pages. Raises `Refusal`."""
    check_archive(source, limits)
    text = _DATA_PICTURE.sub(r"\1", cleaned(_markdown(source, kind)))
    return _slides(text) if kind is Kind.PPTX else Parsed(text=text.strip())


def check_archive(source: Source, limits: Limits) -> None:
    """Raises `Refusal` for a zip bomb by what its directory says. A part that holds more fails its checksum later."""
    with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
        parts = archive.infolist()
    if len(parts) > limits.zip_entries:
        raise _bomb(source, f"{len(parts)} parts, more than {limits.zip_entries}")
    if any(part.flag_bits & 1 for part in parts):
        raise Refusal("office-encrypted", f"{source.name!r} wants a password; save it without one and send that")
    total = sum(part.file_size for part in parts)
    if total > limits.unpacked_bytes:
        raise _bomb(source, f"{total} bytes unpacked, more than {limits.unpacked_bytes}")
    for part in parts:
        if part.file_size > SMALL_BYTES and part.file_size > limits.unpacked_ratio * max(part.compress_size, 1):
            raise _bomb(source, f"{part.filename!r} in it grows more than {limits.unpacked_ratio} times")


def _bomb(source: Source, why: str) -> Refusal:
    return Refusal("office-bomb", f"{source.name!r} is packed like a zip bomb: {why}; save it anew and send that")


def _markdown(source: Source, kind: Kind) -> str:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter, PptxConverter, XlsxConverter

    converters = {Kind.DOCX: DocxConverter, Kind.PPTX: PptxConverter, Kind.XLSX: XlsxConverter}
    try:
        result = converters[kind]().convert(  # type: ignore[no-untyped-call]
            io.BytesIO(source.data), StreamInfo(mimetype=str(kind))
        )
    except MemoryError:
        raise
    except Exception as exc:  # four libraries' own, and none of them names all that it raises on a broken file
        detail = f"{source.name!r} cannot be read ({type(exc).__name__}: {exc}); open it, save it anew and send that"
        raise Refusal("office-damaged", detail) from exc
    return str(result.markdown)


def _slides(text: str) -> Parsed:
    """The text without the marks between the slides, and where each slide is in it."""
    marks = list(_SLIDE.finditer(text))
    ends = [(a.end(), b.start()) for a, b in pairwise(marks)] + [(m.end(), len(text)) for m in marks[-1:]]
    pages, at, said = [], 0, []
    for mark, (start, end) in zip(marks, ends, strict=True):
        slide = text[start:end].strip()
        pages.append(Page(number=int(mark[1]), start=at, end=at + len(slide)))
        said.append(slide)
        at += len(slide) + 2
    return Parsed(text="\n\n".join(said), pages=tuple(pages))
