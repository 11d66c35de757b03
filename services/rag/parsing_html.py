"""The text of an HTML page that a reader sees, with headings and lists as Markdown marks them. Pure; recurses never."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lxml import etree  # type: ignore[import-untyped]  # ships no types

from services.rag.parsed import Parsed, Refusal

_DROPPED = (
    "script style noscript template svg canvas iframe object embed applet audio video map nav "
    "button input select textarea datalist dialog"
)
DROPPED = frozenset(_DROPPED.split())
"""Not text of the document: what a browser runs, draws or asks; and the menus that every page of a site repeats."""
_BLOCKS = (
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form "
    "header hr legend main ol p pre section summary table tbody tfoot thead tr ul title"
)
BLOCKS = frozenset(_BLOCKS.split())
HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "#### ", "h5": "##### ", "h6": "###### "}
_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)
_BLANKS = re.compile(r"\n{3,}")


@dataclass(slots=True)
class _Writer:
    """Text as it comes, line by line. `silent` counts the dropped elements around it, `pre` the `<pre>`s."""

    lines: list[str] = field(default_factory=lambda: [""])
    title: str = ""
    silent: int = 0
    pre: int = 0
    in_title: bool = False

    def say(self, text: str | None) -> None:
        if not text:
            return
        if self.in_title:
            self.title += text
        elif self.silent:
            return
        elif self.pre:
            first, *rest = text.split("\n")
            self.lines[-1] += first
            self.lines += rest
        else:
            said = _SPACE.sub(" ", text)
            self.lines[-1] += said if self.lines[-1].strip() else said.lstrip()

    def end_line(self, *, blank: bool = False) -> None:
        if self.silent:
            return
        if self.lines[-1].strip():
            self.lines.append("")
        if blank and len(self.lines) > 1 and self.lines[-2]:
            self.lines.append("")


def read_html(text: str) -> Parsed:
    """The text and the page's title. Scripts, styles, comments and hidden elements are left out.

    Broken HTML is read as browsers read it. Raises `Refusal` where the parser gave up, not half of the text.
    """
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
        raise Refusal("html-too-deep", "its elements are nested deeper than any page's; send the text itself")
    writer = _Writer()
    if root is not None:
        for event, element in etree.iterwalk(root, events=("start", "end")):
            _entered(writer, element) if event == "start" else _left(writer, element)
    lines = (line.rstrip() for line in writer.lines)
    return Parsed(text=_BLANKS.sub("\n\n", "\n".join(lines)).strip(), title=writer.title)


def _entered(writer: _Writer, element: etree._Element) -> None:
    tag = element.tag
    if tag == "title" and not writer.silent:
        writer.in_title = True
    elif _is_dropped(element):
        writer.silent += 1
    elif tag == "br":
        writer.lines.append("") if not writer.silent else None
    elif tag in BLOCKS or tag in HEADINGS or tag == "li":
        writer.end_line(blank=tag not in ("tr", "li", "div"))
        writer.lines[-1] += "" if writer.silent else HEADINGS.get(tag, "- " if tag == "li" else "")
    writer.pre += tag == "pre"
    writer.say(element.text)


def _left(writer: _Writer, element: etree._Element) -> None:
    tag = element.tag
    writer.pre -= tag == "pre"
    if tag == "title" and writer.in_title:
        writer.in_title = False
    elif _is_dropped(element):
        writer.silent -= 1
    elif tag in ("td", "th"):
        writer.say(" | ")
    elif tag in BLOCKS or tag in HEADINGS or tag == "li":
        writer.end_line(blank=tag not in ("tr", "li", "div"))
    writer.say(element.tail)


def _is_dropped(element: etree._Element) -> bool:
    hidden = element.get("hidden") is not None or _HIDING.search(element.get("style") or "")
    return element.tag in DROPPED or bool(hidden) or element.get("aria-hidden") == "true"
