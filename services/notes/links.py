"""The links between notes, as Obsidian (`[[Note]]`) and Joplin's Markdown export (`[text](../Note.md)`) write them."""

from __future__ import annotations

import re
import unicodedata
import urllib.parse
from pathlib import PurePosixPath

_CODE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_WIKI = re.compile(r"\[\[([^\[\]|#^\n]{1,300})(?:[#^|][^\[\]\n]*)?\]\]")
_INLINE = re.compile(r"\]\(\s*(?:<([^<>\n]{1,600})>|([^()<>\s]{1,600}))(?:\s+\"[^\"\n]*\")?\s*\)")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|:/")
_SUFFIXES = (".md", ".markdown")


def named(path_or_title: str) -> str:
    """The one form of a note's name in links: without its folder and suffix, whatever the case."""
    name = PurePosixPath(path_or_title.strip()).name
    for suffix in _SUFFIXES:
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return unicodedata.normalize("NFKC", name).casefold().strip()


def targets(text: str) -> tuple[str, ...]:
    """The notes that `text` links to, each once in the form of `named`; links in code and to the web are none."""
    plain = _CODE.sub(" ", text)
    found = [match[1] for match in _WIKI.finditer(plain)]
    found += [note for match in _INLINE.finditer(plain) if (note := _note(match[1] or match[2]))]
    return tuple(dict.fromkeys(name for name in map(named, found) if name))


def _note(address: str) -> str | None:
    """The path of an inline link to a Markdown file; None for the web, a picture and a place in the same note."""
    if _SCHEME.match(address):
        return None
    path = urllib.parse.unquote(address.partition("#")[0])
    return path if path.lower().endswith(_SUFFIXES) else None
