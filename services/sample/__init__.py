"""A small corpus of our own that ships with the project: invented facts, so that every answer can be checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleDocument:
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleQuestion:
    """`phrases`: any of them in an answer is right. `title`: the document that holds it."""

    question: str
    phrases: tuple[str, ...]
    title: str


def documents() -> list[SampleDocument]:
    """The documents in order of their file names; the title is the first heading, the text what follows."""
    found = []
    for file in sorted((resources.files(__name__) / "documents").iterdir(), key=lambda f: f.name):
        heading, _, text = file.read_text(encoding="utf-8").partition("\n")
        found.append(SampleDocument(title=heading.removeprefix("# ").strip(), text=text.strip()))
    return found


def questions() -> list[SampleQuestion]:
    """Questions with a checkable answer in exactly one document."""
    table = tomllib.loads((resources.files(__name__) / "questions.toml").read_text(encoding="utf-8"))
    return [
        SampleQuestion(question=q["question"], phrases=tuple(q["phrases"]), title=q["title"])
        for q in table["questions"]
    ]
