"""What Notes says to a model."""

from __future__ import annotations

from services.llm.types import Message, Role

PROMPT_VERSION = "summary-1"
"""Goes into the producer of every stored summary; changes with the words below."""

SYSTEM = "Summarise the note in one short sentence. Keep names and numbers."


def messages(text: str) -> tuple[Message, ...]:
    """The note itself, whole: a note that does not fit the window is refused, not cut in silence."""
    return (Message(role=Role.SYSTEM, content=SYSTEM), Message(role=Role.USER, content=text))
