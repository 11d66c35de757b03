"""The setting of what Notes makes of a note after its save, parsed. `services.settings` reads it with all others."""

from __future__ import annotations

from collections.abc import Mapping

KINDS = ("summary", "tags")
"""What can be made. Nothing is, unless asked for: each save would cost the engines an answer."""


def parse(values: Mapping[str, str], problems: list[str]) -> tuple[str, ...]:
    """From the values of every variable. What cannot be used is added to `problems`."""
    said = values["NOTES_AFTER_SAVE"]
    names = tuple(dict.fromkeys(name for part in said.split(",") if (name := part.strip())))
    if set(names) - set(KINDS):
        problems.append(f"NOTES_AFTER_SAVE={said!r} is not a list of {', '.join(KINDS)}; empty makes nothing")
        return ()
    return names
