"""The text of a PDF with the place of each page. Runs native code on a stranger's bytes: only in the child process."""

from __future__ import annotations

import re

import pypdfium2  # type: ignore[import-untyped]  # ships no types
import pypdfium2.raw as raw  # type: ignore[import-untyped]  # the same

from services.rag.parsed import Limits, Page, Parsed, Refusal, Source
from services.rag.parsing_text import cleaned

_LENGTH = re.compile(rb"/Linearized\b.{0,200}?/L\s+(\d+)", re.S)
_BROKEN_WORD = re.compile("[\ufffe\u00ad]\n?")
"""How PDFium tells a hyphen at the end of a line; the word goes on in the next."""


def read_pdf(source: Source, limits: Limits) -> Parsed:
    """The text, the title and the pages. Raises `Refusal`."""
    _refuse_cut(source)
    try:
        document = pypdfium2.PdfDocument(source.data)
    except pypdfium2.PdfiumError as exc:
        raise _refused(source, exc) from exc
    with document:
        count = len(document)
        if count > limits.pages:
            detail = f"{source.name!r} has {count} pages, more than {limits.pages}; split it"
            raise Refusal("pdf-too-many-pages", detail)
        texts = [_page(document, index, source) for index in range(count)]
        title = cleaned(document.get_metadata_dict().get("Title", "")).strip()
    if not any(text for text in texts):
        detail = (
            f"{source.name!r} has {count} pages and no text, only pictures; run OCR over it (ocrmypdf) and send that"
        )
        raise Refusal("pdf-no-text", detail)
    text, pages = _joined(texts, limits, source)
    return Parsed(text=text, title=title, pages=pages)


def _refuse_cut(source: Source) -> None:
    """PDFium repairs what was cut and says nothing; half a document that looks whole is worse than none."""
    data = source.data
    linear = _LENGTH.search(data[:2048])
    if b"%%EOF" not in data[-4096:] or (linear and int(linear[1]) > len(data)):
        raise Refusal("pdf-truncated", f"{source.name!r} ends before its end; it was cut on its way, send it again")


def _refused(source: Source, exc: pypdfium2.PdfiumError) -> Refusal:
    match exc.err_code:
        case raw.FPDF_ERR_PASSWORD | raw.FPDF_ERR_SECURITY:
            return Refusal("pdf-encrypted", f"{source.name!r} wants a password; save it without one and send that")
        case _:
            return Refusal("pdf-damaged", f"{source.name!r} is no PDF that can be opened ({exc}); export it anew")


def _page(document: pypdfium2.PdfDocument, index: int, source: Source) -> str:
    try:
        page = document[index]
        text = page.get_textpage().get_text_range()
    except pypdfium2.PdfiumError as exc:
        detail = f"page {index + 1} of {source.name!r} cannot be read ({exc}); export the document anew"
        raise Refusal("pdf-damaged", detail) from exc
    page.close()
    return _BROKEN_WORD.sub("", cleaned(text)).strip()


def _joined(texts: list[str], limits: Limits, source: Source) -> tuple[str, tuple[Page, ...]]:
    pages, at = [], 0
    for number, text in enumerate(texts, start=1):
        pages.append(Page(number=number, start=at, end=at + len(text)))
        at += len(text) + 2
    if at > limits.chars:
        raise Refusal("text-too-long", f"{source.name!r} has {at} characters, more than {limits.chars}; split it")
    return "\n\n".join(texts), tuple(pages)
