"""Takes what names or opens something out of the texts of a request; keeps its options and its length, roughly. Pure.

What it cannot do is told in docs/RECORD.md: names of people and places, and whatever has no shape, stay.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import re2  # type: ignore[import-untyped]  # ships no types

from services.recording.rules import DATE, RULES, Rule, is_date

OWN_LABEL = "CUSTOM"
MAX_PATTERNS, MAX_PATTERN_CHARS = 500, 500
MAX_PATTERN_MEMORY = 1 << 20
"""Bytes that one pattern may take once compiled; `(\\p{L}{1000}){1000}` does not fit."""

MAX_MATCHES = 2000
"""Of one pattern in one text. A search is linear; as many searches as characters would not be."""

MAX_DEPTH = 20
SHORTEST_CLASS = 16

Span = tuple[int, int, int]
"""Start and end in bytes, and the position of its rule."""


class PatternError(ValueError):
    """A pattern cannot be used. The message says which and why."""


class TooMuch(ValueError):
    """A text that is not recorded, because redacting it has no bound: too many matches, or nested too deep."""


def compiled(pattern: str) -> Any:
    """`pattern` for RE2, which is linear in the text. Raises `PatternError`."""
    options = re2.Options()
    options.max_mem = MAX_PATTERN_MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as exc:
        reason = exc.args[0].decode(errors="replace") if isinstance(exc.args[0], bytes) else exc.args[0]
        raise PatternError(
            f"{pattern!r} is not a pattern of RE2: {reason} (look-around and back-references have no bound and are "
            "not part of it)"
        ) from exc


def checked(patterns: Sequence[str]) -> tuple[str, ...]:
    """A person's own patterns, each usable. Raises `PatternError` that names the first that is not."""
    if len(patterns) > MAX_PATTERNS:
        raise PatternError(f"{len(patterns)} patterns are too many; join them with | into at most {MAX_PATTERNS}")
    for pattern in patterns:
        if len(pattern) > MAX_PATTERN_CHARS:
            raise PatternError(f"{pattern[:40]!r}... is longer than {MAX_PATTERN_CHARS} characters")
        if compiled(pattern).search("") is not None:
            raise PatternError(f"{pattern!r} matches the empty text, so it would match everywhere")
    return tuple(patterns)


class Redactor:
    """Gives the same value the same placeholder for as long as it lives. Values are kept only as keyed hashes."""

    def __init__(self, patterns: Sequence[str] = (), *, label: str = OWN_LABEL, rules: Sequence[Rule] = RULES) -> None:
        own = [Rule(label=label, pattern=p) for p in checked(patterns)]
        self._rules = [(rule, compiled(rule.pattern)) for rule in (*own, *rules)]
        self._dates = compiled(DATE)
        self._key = secrets.token_bytes(32)
        self._numbers: dict[str, dict[bytes, int]] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many different values of each label were taken out."""
        return {label: len(numbers) for label, numbers in sorted(self._numbers.items())}

    def body(self, value: Any, *, depth: int = 0) -> Any:
        """`value` with every text redacted, keys included; numbers and options as they are. Raises `ValueError`."""
        if depth > MAX_DEPTH:
            raise TooMuch(f"nested deeper than {MAX_DEPTH}")
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.body(v, depth=depth + 1) for v in value]
        if isinstance(value, dict):
            return {self.text(k): self.body(v, depth=depth + 1) for k, v in value.items()}
        return value

    def text(self, text: str) -> str:
        """`text` without what the rules find. Raises `ValueError`: half a surrogate pair, or `TooMuch`."""
        data = text.encode()
        parts, at = [], 0
        for start, end, rank in _merged(sorted(self._found(data))):
            parts += [data[at:start].decode(), self._placeholder(self._rules[rank][0].label, data[start:end])]
            at = end
        return "".join([*parts, data[at:].decode()])

    def _found(self, data: bytes) -> Iterator[Span]:
        masked = self._without_dates(data)
        for rank, (rule, pattern) in enumerate(self._rules):
            for number, match in enumerate(pattern.finditer(masked if rule.masks_dates else data)):
                if number >= MAX_MATCHES:
                    raise TooMuch(f"more than {MAX_MATCHES} matches of one pattern")
                start, end = match.span(rule.group)
                if start < end and rule.accepts(data[start:end].decode()):
                    yield start, end, rank

    def _without_dates(self, data: bytes) -> bytes:
        masked = bytearray(data)
        for match in self._dates.finditer(data):
            start, end = match.span()
            if is_date(data[start:end].decode()):
                masked[start:end] = b"d" * (end - start)
        return bytes(masked)

    def _placeholder(self, label: str, value: bytes) -> str:
        numbers = self._numbers.setdefault(label, {})
        digest = hashlib.blake2b(value, key=self._key, digest_size=16).digest()
        name = f"{label}_{numbers.setdefault(digest, len(numbers) + 1)}"
        return f"<{'|'.join([name] * _repeats(len(value), len(name)))}>"


def _repeats(length: int, unit: int) -> int:
    """So that the placeholder is about as long as its value's class (16, 32, 64, ... bytes), never telling more."""
    size = SHORTEST_CLASS
    if length < 2 * size:
        return 1
    while size * 2 <= length:
        size *= 2
    return max(1, size // (unit + 1))


def _merged(spans: Sequence[Span]) -> Iterator[Span]:
    """Spans that overlap as one, under the rule that comes first."""
    current: Span | None = None
    for start, end, rank in spans:
        if current is None or start >= current[1]:
            if current is not None:
                yield current
            current = (start, end, rank)
        else:
            current = (current[0], max(current[1], end), min(current[2], rank))
    if current is not None:
        yield current
