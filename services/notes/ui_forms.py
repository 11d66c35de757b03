"""What a person sends from Notes' pages, checked as the API checks its bodies, with what is wrong in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A note as it stands in a form. `version` is the one that its writer began from, None for a new note."""

    title: str = ""
    text: str = ""
    version: int | None = None


def checked(body: type[B], fields: Mapping[str, Any]) -> tuple[B | None, list[str]]:
    """The body that the API would take, or what is wrong with it, field by field."""
    try:
        return body.model_validate(dict(fields)), []
    except ValidationError as exc:
        return None, [_in_words(e["loc"], str(e["msg"])) for e in exc.errors()]


def typed(text: str, before: str = "") -> str:
    """The text of a form field with the line ends that `before`, the stored text, has.

    Browsers send CRLF, whatever was in the field; a note is not to change where nobody touched it.
    """
    plain = _plain(text)
    if _plain(before) == plain:
        return before
    return plain.replace("\n", "\r\n") if _is_crlf(before) else plain


def split(text: str) -> list[str]:
    """The names in a field that holds several, parted by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_crlf(text: str) -> bool:
    return "\r\n" in text and text.count("\r\n") == text.count("\n")


def _in_words(place: Sequence[int | str], problem: str) -> str:
    name = next((str(part) for part in place if isinstance(part, str)), "the form")
    return f"{name.capitalize()}: {problem.removeprefix('Value error, ')}"
