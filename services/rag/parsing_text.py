"""Bytes into text, whatever encoding they are in; what is no text is refused. Pure."""

from __future__ import annotations

import codecs
import re
from email.message import Message

from charset_normalizer import from_bytes

from services.rag.parsed import Refusal, Source

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's mark does, so it is asked first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = (
    b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1c\x1d\x1e\x1f\x7f"
)
_META = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.I)
SAMPLE_BYTES = 64 * 1024
MAX_CONTROL_SHARE = 0.01
"""Of bytes that no text has. Logs hold an escape or a form feed here and there; a picture has a tenth."""
FOREIGN_SHARE = 0.3
"""Above this share of bytes beyond ASCII a text is not in Latin letters, and its encoding is worth guessing."""
GUESSED = ("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874", "cp932", "euc_jp", "gb18030", "big5", "euc_kr")
"""What is guessed among: the encodings that such texts were written in. Short texts look like dozens of others."""
_SURROGATES = re.compile("[\ud800-\udfff]")
_BREAKS = re.compile(r"\r\n?")


def decoded(source: Source, *, is_html: bool = False) -> str:
    """The text: by its mark, by what the sender or the page says, as UTF-8, else by guess. Raises `Refusal`."""
    data = source.data
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None) or _wide(data)
    if encoding is not None:
        return _strictly(source, encoding)
    _refuse_binary(source)
    for name in (_said(source), _meta(data) if is_html else "", "utf-8"):
        text = _tried(data, name)
        if text is not None:
            return text
    return _guessed(source)


def cleaned(text: str) -> str:
    """One kind of line break, and nothing that a store or a search could not hold."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", _BREAKS.sub("\n", text)).replace("\0", " ")


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: in Latin text every other byte is NUL, and nowhere else."""
    sample = data[: min(len(data), SAMPLE_BYTES) & ~1]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if half and max(even, odd) > half * 0.6 and min(even, odd) < half * 0.05:
        return "utf-16-be" if even > odd else "utf-16-le"
    return None


def _refuse_binary(source: Source) -> None:
    sample = source.data[:SAMPLE_BYTES]
    control = len(sample) - len(sample.translate(None, _CONTROL))
    if b"\0" in source.data or control > len(sample) * MAX_CONTROL_SHARE:
        detail = f"{source.name!r} holds bytes that no text has; it is another kind of file under a text's name"
        raise Refusal("binary-not-text", detail)


def _said(source: Source) -> str:
    header = Message()
    header["Content-Type"] = source.media_type or "text/plain"
    return str(header.get_content_charset() or "")


def _meta(data: bytes) -> str:
    found = _META.search(data[:2048])
    return found[1].decode("ascii") if found else ""


def _tried(data: bytes, encoding: str) -> str | None:
    """None where `encoding` is empty, unknown, or not what the bytes are in."""
    try:
        return data.decode(encoding) if encoding else None
    except (LookupError, UnicodeDecodeError):
        return None


def _strictly(source: Source, encoding: str) -> str:
    try:
        return source.data.decode(encoding)
    except UnicodeDecodeError as exc:
        detail = f"{source.name!r} begins as {encoding} and breaks at byte {exc.start}; save it as UTF-8"
        raise Refusal("encoding-broken", detail) from exc


def _guessed(source: Source) -> str:
    """Latin letters with some accents are Windows-1252, as browsers read them; anything else is asked of a library."""
    sample = source.data[:SAMPLE_BYTES]
    foreign = len(sample) - len(sample.translate(None, bytes(range(0x80, 0x100))))
    if foreign <= len(sample) * FOREIGN_SHARE:
        text = _tried(source.data, "cp1252")
        return text if text is not None else source.data.decode("latin-1")
    best = from_bytes(sample, cp_isolation=list(GUESSED)).best()
    text = _tried(source.data, best.encoding) if best else None
    if text is None:
        raise Refusal("encoding-unknown", f"nobody can tell the encoding of {source.name!r}; save it as UTF-8")
    return text
