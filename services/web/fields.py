"""Types of request fields that mean the same in every service."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _storable(text: str) -> str:
    """Refuses what JSON may carry but UTF-8 cannot (lone surrogates), and NUL, at which SQLite's own functions stop."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError(f"the character at {exc.start} is half of a surrogate pair") from exc
    if "\0" in text:
        raise ValueError("NUL characters are not text")
    if not text.strip():
        raise ValueError("only white space")
    return text


MAX_TEXT_CHARS = 500_000

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS), AfterValidator(_storable)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_storable)]
Query = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_storable)]
MaxTokens = Annotated[int, Field(ge=1, le=1024)]


class Body(BaseModel):
    """Base of request bodies: a field that nobody knows is a mistake worth telling, and types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True)
