"""Documents of every kind that RAG reads, made here byte by byte or by the formats' own libraries."""

from __future__ import annotations

import io
import zipfile
import zlib

import openpyxl
import pptx

from services.rag.parsed import Source

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_TYPES = (
    f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_MAIN}"/></Types>'
)
_RELATIONS = (
    f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}" Target="word/document.xml"/></Relationships>'
)


def pdf(*pages: str, title: str = "", page_count: int | None = None) -> bytes:
    """A PDF whose pages hold these lines, Latin-1 only; `page_count` lets its page tree lie."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        _pages(len(pages), page_count),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({title}) >>".encode("latin-1"),
    ]
    for n, text in enumerate(pages):
        resources = b"/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 595 842]"
        objects.append(b"<< /Type /Page /Parent 2 0 R %s /Contents %d 0 R >>" % (resources, 6 + 2 * n))
        objects.append(_stream(_drawn(text)))
    return _file(objects)


def bomb_pdf(inflated: int) -> bytes:
    """One page whose content says the same over and over for `inflated` bytes, packed a thousand times smaller."""
    content = b"BT /F1 12 Tf 9 9 Td (x) Tj ET\n" * (inflated // 30)
    packed = zlib.compress(content, 9)
    page = b"/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 595 842] /Contents 6 0 R"
    return _file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            _pages(1, None),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            b"<< >>",
            b"<< /Type /Page /Parent 2 0 R %s >>" % page,
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
        ]
    )


def encrypted_pdf() -> bytes:
    """Says that it is encrypted with a password that is not the empty one."""
    body = pdf("Nobody reads this.")
    key = b"(" + b"x" * 32 + b")"
    entry = b"/Encrypt << /Filter /Standard /V 1 /R 2 /O %s /U %s /P -4 >> /ID [<00> <00>]" % (key, key)
    return body.replace(b"/Root 1 0 R", b"/Root 1 0 R " + entry)


def word(*paragraphs: str, heading: str = "") -> bytes:
    """The three parts that a docx needs, and no more."""
    said = [f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr>{_run(heading)}</w:p>'] if heading else []
    said += [f"<w:p>{_run(paragraph)}</w:p>" for paragraph in paragraphs]
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        archive.writestr("word/document.xml", f"<w:document {space}><w:body>{''.join(said)}</w:body></w:document>")
    return buffer.getvalue()


def slides(*texts: str) -> bytes:
    deck = pptx.Presentation()
    for text in texts:
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = text
    return _saved(deck)


def sheet(*rows: tuple[object, ...]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return _saved(book)


def bombed(archive: bytes, *, part: str, size: int) -> bytes:
    """`archive` with one more part of `size` zeros, packed to next to nothing."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as opened, opened.open(part, "w") as stream:
        for _ in range(size // 2**20):
            stream.write(bytes(2**20))
    return buffer.getvalue()


def named(name: str, data: bytes | str, media_type: str = "") -> Source:
    return Source(data=data.encode() if isinstance(data, str) else data, name=name, media_type=media_type)


def _run(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def _saved(document: object) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)  # type: ignore[attr-defined]
    return buffer.getvalue()


def _pages(count: int, said: int | None) -> bytes:
    kids = b" ".join(b"%d 0 R" % (5 + 2 * n) for n in range(count))
    return b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count if said is None else said)


def _drawn(text: str) -> bytes:
    lines = text.encode("latin-1").replace(b"(", b"\\(").replace(b")", b"\\)").split(b"\n")
    return b"BT /F1 12 Tf 50 780 Td 14 TL " + b" ".join(b"(%s) Tj T*" % line for line in lines if line) + b" ET"


def _stream(content: bytes) -> bytes:
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content)


def _file(objects: list[bytes]) -> bytes:
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, size = len(out), len(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % size
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, start)
    return bytes(out)
