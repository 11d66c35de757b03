"""The setting of who else looks for names beside NER's model, parsed. `services.settings` reads it with all others."""

from __future__ import annotations

from collections.abc import Mapping

SOURCES = ("", "spacy")
"""Nobody unless asked for: it takes memory and processor time of the service."""


def parse(values: Mapping[str, str], problems: list[str]) -> str:
    """From the values of every variable; empty for nobody. What cannot be used is added to `problems`."""
    said = values["NER_CANDIDATES"]
    if said not in SOURCES:
        problems.append(f"NER_CANDIDATES={said!r} must be spacy, or empty for none")
        return ""
    return said
