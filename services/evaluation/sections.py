"""Documentation pages into passages: each section is one, its heading taken away; a heading that asks is a question.

So that nobody has to write questions: the authors of a FAQ did, and put the passage that answers right below. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LEAST_CHARS = 40
"""A section with less text of its own only holds others."""

SECTIONS = frozenset({"section", "chapter", "appendix", "preface", "sect1", "sect2", "sect3"})
"""Classes that DocBook gives to the `div` of a section; Sphinx has an element for it."""

_DROPPED = frozenset({"script", "style", "nav", "h1", "h2", "h3", "h4", "h5", "h6"})
_DROPPED_CLASSES = frozenset({"titlepage", "toc", "navheader", "navfooter", "docnav", "headerlink", "sphinxsidebar"})
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_NUMBER = re.compile(r"^(?:(?:Chapter|Appendix)\s+)?[\dA-Z]+(?:\.\d+)*\.\s+")
_IDENTIFIER = re.compile(r"^[A-Za-z_]\w*(?:\.\w+)+$")
_BLOCKS = frozenset({"p", "div", "li", "pre", "dt", "dd", "tr", "td", "th", "br", "dl", "ul", "ol", "table"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A passage without its `heading`; `identifiers` are the names that it defines, as one would look them up."""

    page: str
    number: int
    heading: str
    text: str
    identifiers: tuple[str, ...]

    @property
    def key(self) -> str:
        """Names it, on every machine that has the same package."""
        return f"{self.page}#{self.number}"

    @property
    def asks(self) -> bool:
        """Whether the heading is a question."""
        return self.heading.endswith("?")


def sections(html: bytes, *, page: str) -> list[Section]:
    """Every section of a page that has text of its own, in order; headings, contents and navigation are no text."""
    from lxml.html import HTMLParser, document_fromstring  # type: ignore[import-untyped]  # it ships no types

    if not html.strip():
        return []
    root = document_fromstring(html, parser=HTMLParser(encoding="utf-8"))
    found: list[Section] = []
    for element in root.iter("section", "div"):
        if not _is_section(element):
            continue
        text = _clean("".join(_words(element)))
        if len(text) >= LEAST_CHARS:
            heading, names = _heading(element), tuple(_identifiers(element))
            found.append(Section(page=page, number=len(found), heading=heading, text=text, identifiers=names))
    return found


def _is_section(element: Any) -> bool:
    return element.tag == "section" or bool(SECTIONS & set((element.get("class") or "").split()))


def _own(element: Any) -> Iterator[Any]:
    """The elements of a section without those of sections inside it."""
    for child in element:
        if isinstance(child.tag, str) and not _is_section(child):
            yield child
            yield from _own(child)


def _heading(element: Any) -> str:
    first = next((child for child in _own(element) if child.tag in _HEADINGS), None)
    said = _clean("" if first is None else first.text_content()).rstrip("¶").strip()
    return _NUMBER.sub("", said)


def _identifiers(element: Any) -> Iterator[str]:
    """Names of functions, classes and constants: Sphinx makes them the anchors of their definitions."""
    for child in _own(element):
        name = child.get("id") or ""
        if child.tag == "dt" and _IDENTIFIER.match(name):
            yield name


def _words(element: Any) -> Iterator[str]:
    """The text of a section, blocks apart; the tails of what is dropped belong to their parents and stay."""
    yield element.text or ""
    for child in element:
        if isinstance(child.tag, str) and not _is_section(child) and not _is_dropped(child):
            yield "\n" if child.tag in _BLOCKS else ""
            yield from _words(child)
            yield "\n" if child.tag in _BLOCKS else ""
        yield child.tail or ""


def _is_dropped(element: Any) -> bool:
    return element.tag in _DROPPED or bool(_DROPPED_CLASSES & set((element.get("class") or "").split()))


def _clean(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.replace("\xa0", " ").splitlines())
    return "\n".join(line for line in lines if line)
