"""What made a reading, as NER tells it: also what was asked for, and who accepted what was proposed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row

from services.llm.types import Sampling
from services.ner.tables import PRODUCER
from services.web.provenance import Producer


class Params(BaseModel):
    """What a reading was asked for: the schema by its name, whether facts, and every sampling field.

    `prompt_version` says which words and which version of the schema that was. A text is read whole, never in parts.
    """

    model_config = ConfigDict(frozen=True)

    shape: str = Field(alias="schema")
    relations: bool
    sampling: Sampling


class Made(Producer):
    """A `Producer` with its parameters; `params` is null where no model was asked, and in rows from before.

    `accepted_by` is empty for what a model found; for a candidate that a person accepted, the name of the API key.
    """

    params: Params | None = None
    accepted_by: str = ""


def columns(made: Made) -> dict[str, Any]:
    """As a row keeps it."""
    params = "" if made.params is None else made.params.model_dump_json(by_alias=True)
    return {**made.model_dump(exclude={"params"}), "params": params}


def made_of(row: Row[Any]) -> Made:
    """From a row that has all columns of `PRODUCER`."""
    kept: Mapping[str, Any] = {name: getattr(row, name) for name in PRODUCER}
    return Made.model_validate({**kept, "params": Params.model_validate_json(row.params) if row.params else None})
