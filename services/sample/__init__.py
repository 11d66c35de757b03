"""The corpus that ships: own texts of an invented team, with questions and names that have checkable answers."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleDocument:
    """A text for RAG."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleNote:
    """A text for Notes."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleQuestion:
    """A question for RAG. `phrases`: any of them in an answer is right. `title`: the document that holds it."""

    question: str
    phrases: tuple[str, ...]
    title: str

    @property
    def phrase(self) -> str:
        """The plainest way to say the answer."""
        return self.phrases[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEntity:
    """A name as it stands in its paragraph; `type` is one of NER's."""

    text: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleParagraph:
    """A text for NER, with every name in it."""

    text: str
    entities: tuple[SampleEntity, ...]


def documents() -> list[SampleDocument]:
    """The documents, in the order of their files."""
    return [SampleDocument(title=title, text=text) for title, text in _markdown("documents")]


def notes() -> list[SampleNote]:
    """The notes, in the order of their files."""
    return [SampleNote(title=title, text=text) for title, text in _markdown("notes")]


def questions() -> list[SampleQuestion]:
    """Questions with a checkable answer in exactly one document."""
    return [
        SampleQuestion(question=table["question"], phrases=tuple(table["phrases"]), title=table["title"])
        for table in _tables("questions.toml", "questions")
    ]


def paragraphs() -> list[SampleParagraph]:
    """Paragraphs with their names."""
    return [
        SampleParagraph(
            text=table["text"], entities=tuple(SampleEntity(text=text, type=type) for text, type in table["entities"])
        )
        for table in _tables("paragraphs.toml", "paragraph")
    ]


def _here() -> Traversable:
    return files(__name__)


def _markdown(folder: str) -> list[tuple[str, str]]:
    """Title and text of each file: its first line is `# Title`."""
    named = sorted(_here().joinpath(folder).iterdir(), key=lambda f: f.name)
    return [_split(f.read_text(encoding="utf-8")) for f in named if f.name.endswith(".md")]


def _split(text: str) -> tuple[str, str]:
    heading, _, body = text.partition("\n")
    return heading.removeprefix("# ").strip(), body.strip()


def _tables(name: str, key: str) -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = tomllib.loads(_here().joinpath(name).read_text(encoding="utf-8"))[key]
    return tables
