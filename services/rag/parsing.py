"""Reads a document of any kind that RAG takes. Pure; may take long and much memory, so `parsing_apart` runs it."""

from __future__ import annotations

import re
from dataclasses import replace

from services.rag.parsed import Limits, Parsed, Refusal, Source
from services.rag.parsing_html import read_html
from services.rag.parsing_kinds import Kind, kind_of
from services.rag.parsing_text import cleaned, decoded

_HEADING = re.compile(r"^#{1,2}\s+(\S.{0,290})$", re.M)


def parse(source: Source, limits: Limits) -> Parsed:
    """The text of `source`. Raises `Refusal`."""
    kind = kind_of(source)
    read = _read(source, kind, limits)
    if not read.text.strip():
        raise Refusal("document-empty", f"{source.name!r} holds no text; send a document that has some")
    if len(read.text) > limits.chars:
        detail = f"{source.name!r} has {len(read.text)} characters, more than {limits.chars}; split it"
        raise Refusal("text-too-long", detail)
    title = " ".join((read.title or _heading(read.text, kind)).split())
    return replace(read, title=title[:300], media_type=str(kind))


def _read(source: Source, kind: Kind, limits: Limits) -> Parsed:
    """What reads strangers' binary formats is imported only for one."""
    match kind:
        case Kind.PDF:
            from services.rag.parsing_pdf import read_pdf

            return read_pdf(source, limits)
        case Kind.DOCX | Kind.PPTX | Kind.XLSX:
            from services.rag.parsing_office import read_office

            return read_office(source, kind, limits)
        case Kind.HTML:
            return read_html(cleaned(decoded(source, is_html=True)))
        case Kind.MARKDOWN | Kind.TEXT:
            return Parsed(text=cleaned(decoded(source)))


def _heading(text: str, kind: Kind) -> str:
    """The first heading where `#` marks one: in plain text it is only a sign, in sheets a tab."""
    found = None if kind in (Kind.TEXT, Kind.PDF, Kind.XLSX) else _HEADING.search(text[:5000])
    return found[1] if found else ""
