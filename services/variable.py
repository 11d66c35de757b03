"""What a setting is: a row of the tables in `services.variables` and `services.variables_compose`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable: its name, its default as text, and what it means. `.env.example` is made of these."""

    name: str
    default: str
    meaning: str
