"""One note as one Markdown file: the front matter of Obsidian and of Joplin's export, and the text under it. Pure.

Values of the front matter are read as nodes, so that `2024-01-01`, `no` and `1.10` stay the words that they are.
Keys that Notes has no field for are kept as they stand and written again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

import yaml

from services.notes.tags import slug

MAX_FRONT_MATTER_CHARS = 64 * 1024
MAX_SLUG_CHARS = 60
MAX_TAGS = 1000
"""Of one file."""

MAX_TITLE_CHARS, MAX_TEXT_CHARS = 300, 500_000
"""The bounds of a note's fields, here for who comes past the HTTP edge."""

ID_KEY = "cutover-id"
_OPEN = re.compile(r"---[ \t]*\r?\n")
_CLOSE = re.compile(r"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_INLINE_TAG = re.compile(r"(?:^|(?<=\s))#([\w/-]*[^\W\d][\w/-]*)")
_CODE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"[0-9a-f]{32}")
_LONE = re.compile("[\ud800-\udfff]")
"""YAML's escapes can say what UTF-8 cannot; the text came as UTF-8 or UTF-16 and holds none."""

YAML_BREAKS = "\x85\u2028\u2029\ufeff"
"""Line ends to YAML, which it would read as others; written as escapes they stay what they are."""

_TOLD = 20
"""Tags that are told one by one where they are left out."""

_TRUE = ("true", "yes", "on")


class Unreadable(Exception):
    """Why a file of a folder is no note; the message is for the person who sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A note as a file. `note_id` is set in files that Notes wrote; `properties` is the YAML that it has no field for.

    `left_out` says what of the file is not kept, and why.
    """

    path: str
    title: str
    text: str
    tags: tuple[str, ...] = ()
    created_at: str | None = None
    updated_at: str | None = None
    is_archived: bool = False
    note_id: str | None = None
    properties: str = ""
    left_out: tuple[str, ...] = ()


def read(path: str, data: bytes) -> Page:
    """The note in the file `path`. Raises `Unreadable`."""
    pairs, text = _split(_decoded(data))
    own, rest = _sorted(pairs)
    note_id = own.get(ID_KEY)
    named = _tags(pairs) + (() if note_id else _inline_tags(text))
    tags, left_out = _slugs(named)
    page = Page(
        path=path,
        title=own.get("title") or PurePosixPath(path).stem,
        text=text,
        tags=tags,
        created_at=_time(own.get("created")),
        updated_at=_time(own.get("updated")),
        is_archived=own.get("archived", "").lower() in _TRUE,
        note_id=note_id,
        properties=_serialised(rest),
        left_out=left_out,
    )
    _check(page)
    return page


def write(page: Page) -> bytes:
    """The file of a note; `read` gives the same note back."""
    kept = {key.value for key, _ in _pairs(page.properties)}
    return f"---\n{_own(page, kept)}{page.properties}---\n\n{page.text}".encode()


def _own(page: Page, kept: Collection[str]) -> str:
    """The front matter that Notes has fields for, less the keys that are `kept` as they stand."""
    own = {
        "title": page.title,
        "created": page.created_at,
        "updated": page.updated_at,
        "tags": list(page.tags) or None,
        "archived": "true" if page.is_archived else None,
        ID_KEY: page.note_id,
    }
    said = {key: value for key, value in own.items() if value is not None and key not in kept}
    is_plain = not any(mark in page.title for mark in YAML_BREAKS)
    return yaml.safe_dump(said, allow_unicode=is_plain, sort_keys=False, width=float("inf")) if said else ""


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        raise Unreadable(
            f"it is not {encoding.upper()[:6].rstrip('-')} text: {exc.reason} at byte {exc.start}"
        ) from exc


def _split(text: str) -> tuple[list[tuple[yaml.ScalarNode, yaml.Node]], str]:
    """The front matter's pairs and the text under it, less the one empty line between them (Joplin's rule)."""
    opening = _OPEN.match(text)
    closing = _CLOSE.search(text, opening.end()) if opening else None
    if not opening or not closing:
        return [], text
    front, body = text[opening.end() : closing.start()], text[closing.end() :]
    blank = re.match(r"\r?\n", body)
    if len(front) > MAX_FRONT_MATTER_CHARS:
        raise Unreadable(f"its front matter is longer than {MAX_FRONT_MATTER_CHARS} characters")
    return _pairs(front), body[blank.end() :] if blank else body


def _pairs(front: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    try:
        node = yaml.compose(front, Loader=yaml.BaseLoader)
    except yaml.YAMLError as exc:
        raise Unreadable(f"its front matter is not YAML: {' '.join(str(exc).split())}") from exc
    except RecursionError as exc:
        raise Unreadable("its front matter is nested too deeply") from exc
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode) or not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
        raise Unreadable("its front matter is not a list of `key: value`")
    return list(node.value)


def _sorted(
    pairs: Iterable[tuple[yaml.ScalarNode, yaml.Node]],
) -> tuple[dict[str, str], list[tuple[yaml.ScalarNode, yaml.Node]]]:
    """The values of our own keys, and the pairs that we have no field for; a time that we cannot read is one."""
    own: dict[str, str] = {}
    rest = []
    for key, value in pairs:
        name = key.value
        is_time = name in ("created", "updated")
        is_ours = name in ("title", "archived", ID_KEY) or is_time
        if name in ("tags", "tag"):
            continue
        if is_ours and name not in own and isinstance(value, yaml.ScalarNode) and (not is_time or _time(value.value)):
            own[name] = value.value
        else:
            rest.append((key, value))
    return own, rest


def _tags(pairs: Iterable[tuple[yaml.ScalarNode, yaml.Node]]) -> tuple[str, ...]:
    """A list, or words with commas or spaces between them, which Obsidian allows."""
    found: list[str] = []
    for key, value in pairs:
        if key.value not in ("tags", "tag"):
            continue
        if isinstance(value, yaml.SequenceNode):
            found += [item.value for item in value.value if isinstance(item, yaml.ScalarNode)]
        elif isinstance(value, yaml.ScalarNode):
            found += re.split(r"[,\s]+", value.value)
    return tuple(found)


def _inline_tags(text: str) -> tuple[str, ...]:
    """Obsidian's `#tag` in the text; one of digits alone is none, nor is what stands in code."""
    return tuple(match[1] for match in _INLINE_TAG.finditer(_CODE.sub(" ", text)))


def _slugs(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    slugs = dict.fromkeys(made for name in names if (made := slug(name)))
    kept = tuple(made for made in slugs if len(made) <= MAX_SLUG_CHARS)
    too_long = [made for made in slugs if len(made) > MAX_SLUG_CHARS]
    told = [f"tag {made[:20]!r}…: longer than {MAX_SLUG_CHARS}" for made in too_long[:_TOLD]]
    more = len(slugs) - len(kept[:MAX_TAGS]) - len(told)
    return kept[:MAX_TAGS], (*told, f"{more} more tags: a note has at most {MAX_TAGS}") if more else tuple(told)


def _time(said: str | None) -> str | None:
    """A time as stores keep it; one without a zone is UTC. None for what is no time."""
    if not said:
        return None
    try:
        at = datetime.fromisoformat(said)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        return None


def _serialised(pairs: list[tuple[yaml.ScalarNode, yaml.Node]]) -> str:
    if not pairs:
        return ""
    node = yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=False)
    return str(yaml.serialize(node, Dumper=yaml.BaseDumper, allow_unicode=True, width=float("inf")))


def _check(page: Page) -> None:
    """The same bounds as for a note that comes by HTTP. Raises `Unreadable`."""
    problems = (
        ("\0" in page.title + page.text, "it holds NUL characters, so it is no text"),
        (_LONE.search(page.title) is not None, "its title holds half of a surrogate pair"),
        (not page.text.strip(), "it is empty"),
        (len(page.text) > MAX_TEXT_CHARS, f"it is longer than {MAX_TEXT_CHARS} characters"),
        (not page.title.strip(), "its title is empty"),
        (len(page.title) > MAX_TITLE_CHARS, f"its title is longer than {MAX_TITLE_CHARS} characters"),
        (page.note_id is not None and not _ID.fullmatch(page.note_id), f"its {ID_KEY} is not one of ours"),
    )
    for holds, said in problems:
        if holds:
            raise Unreadable(said)
    at = "2000-01-01T00:00:00.000+00:00"
    stored = replace(page, created_at=at, updated_at=at, is_archived=True, note_id="0" * 32)
    if len(page.properties) + len(_own(stored, ())) > MAX_FRONT_MATTER_CHARS:
        raise Unreadable(
            f"its front matter is longer than {MAX_FRONT_MATTER_CHARS} characters once it is written again"
        )
