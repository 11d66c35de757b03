"""A typed document out of a text: the schema goes to the engine, the validation happens here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from services.llm.types import Answer, ChatRequest
from services.llm.whole import Validate

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted(Generic[T]):
    """A document that fits, and the answer that it came in."""

    value: T
    answer: Answer


def asking_for(model: type[T], request: ChatRequest, *, repairs: int) -> ChatRequest:
    """`request` with the schema of `model`. A document that does not fit is asked for again `repairs` times at most."""
    return replace(request, schema=model.model_json_schema(), repairs=repairs)


def validator(model: type[T]) -> Validate:
    """Why a text is no `model`: what pydantic says, which knows more than the schema."""

    def problem(text: str) -> str | None:
        try:
            model.model_validate_json(text)
        except ValidationError as exc:
            return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the document'}: {e['msg']}" for e in exc.errors())
        return None

    return problem


def extracted(model: type[T], answer: Answer) -> Extracted[T]:
    """The document of an answer that `validator` has passed."""
    return Extracted(value=model.model_validate_json(answer.text), answer=answer)
