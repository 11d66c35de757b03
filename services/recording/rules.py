"""What is taken out of recorded texts without asking: the shapes of addresses, numbers and secrets. Pure.

Every pattern runs on RE2, whose time is linear in the text whatever the pattern and the text are, and which lets the
rest of the process run meanwhile. RE2 has no look-around, so some shapes are wider here and narrowed by `accepts`. In
doubt a rule takes too much: a number too many costs a recording little, an account number too few costs a person.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

MIN_DIGITS = 9
"""Runs of this many digits are numbers of something (accounts, cards, insurance), whatever their checksum says."""


def always(_value: str) -> bool:
    """Narrows nothing."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One shape. `group` is the part that goes; with `masks_dates` the rule does not see calendar dates."""

    label: str
    pattern: str
    group: int = 0
    accepts: Callable[[str], bool] = always
    masks_dates: bool = False


def is_card(value: str) -> bool:
    """Whether the digits of `value` end in the check digit of payment cards (Luhn)."""
    digits = _digits(value)
    doubled = [d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and sum(doubled) % 10 == 0


def is_iban(value: str) -> bool:
    """Whether `value` is an account number by its check digits (ISO 13616: the rest by 97 is 1)."""
    compact = "".join(c for c in value if c.isascii() and c.isalnum()).upper()
    return 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def is_address(value: str) -> bool:
    """Whether `value` is an IP address, of either version."""
    try:
        ipaddress.ip_address(value.strip("."))
    except ValueError:
        return False
    return True


def is_date(value: str) -> bool:
    """Whether `value` is a day of a calendar between 1900 and 2100, and nothing more."""
    parts = [int(p) for p in re.split(r"[./-]", value)] if re.fullmatch(r"[\d./-]+", value) else []
    if len(parts) != 3:
        return False
    year, low, high = (parts[0], *sorted(parts[1:])) if parts[0] > 31 else (parts[2], *sorted(parts[:2]))
    return 1900 <= year <= 2100 and 1 <= low <= 12 and high <= 31


def is_long_number(value: str) -> bool:
    return len(_digits(value)) >= MIN_DIGITS


def is_random(value: str) -> bool:
    """Whether letters and digits are mixed as in keys, which words, however long, are not."""
    kinds = (any(c.islower() for c in value), any(c.isupper() for c in value), sum(c.isdigit() for c in value) > 1)
    return kinds[2] and (kinds[0] or kinds[1]) and (all(kinds) or len(value) >= 32)


def is_not_placeholder(value: str) -> bool:
    """A text that was redacted once is not redacted again for standing behind the word `password`."""
    return re.fullmatch(r"<[A-Z]+_\d+[^<>]*>\W*", value) is None


def _digits(value: str) -> list[int]:
    return [int(c) for c in value if c.isdecimal()]


DATE = r"\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[./-]?\d)*"
"""Dates stay readable, and so must not look like telephone numbers."""

_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase|wort|code)|pwd|kennwort|pin|secret|token|api[_ -]?key|access[_ -]?key|authorization)"
)
_KEY_BEGINNING = (
    r"(?:sk-|sk_|pk_|rk_|gh[opsur]_|github_pat_|glpat-|xox[abeprs]-|AKIA|ASIA|AIza|hf_|npm_|pypi-|dop_v1_|SG\.|ya29\.)"
)
_DIGIT = r"\p{Nd}"

RULES: tuple[Rule, ...] = (
    Rule(label="KEY", pattern=r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[^\n]*|\z)"),
    Rule(label="URL", pattern=r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/?#@]*@[^\s<>\"']*"),
    Rule(
        label="URL",
        pattern=r"(?i)\b[a-z][a-z0-9+.-]*://[^\s?#<>\"']*[?#][^\s<>\"']*(?:token|key|secret|sig|pass|pwd|auth|code|session|sid"
        r"|ticket|jwt)[^\s=&<>\"']*=[^\s<>\"']*",
    ),
    Rule(label="JWT", pattern=r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*"),
    Rule(
        label="EMAIL",
        pattern=r"(?:[\p{L}\p{N}._%+'-]+|\"[^\"\n]+\")(?:@|%40)[\p{L}\p{N}](?:[\p{L}\p{N}.-]*[\p{L}\p{N}])?",
    ),
    Rule(label="KEY", pattern=rf"\b{_KEY_BEGINNING}[A-Za-z0-9_.\-]{{8,}}"),
    Rule(label="SECRET", pattern=r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{8,})", group=1),
    Rule(
        label="SECRET",
        pattern=rf"(?i){_SECRET_WORD}s?[\"']?\s*(?::|=|:=|=>|\bis\b|\bist\b)\s*[\"']?([^\s\"']{{3,}})",
        group=1,
        accepts=is_not_placeholder,
    ),
    Rule(label="IBAN", pattern=r"(?i)\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,30}\b", accepts=is_iban),
    Rule(label="IBAN", pattern=r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"),
    Rule(label="CARD", pattern=rf"{_DIGIT}(?:[ .-]?{_DIGIT}){{12,18}}", accepts=is_card),
    Rule(label="ID", pattern=r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
    Rule(label="IP", pattern=r"\b(?:\d{1,3}\.){3}\d{1,3}\b", accepts=is_address),
    Rule(label="IP", pattern=r"(?i)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}", accepts=is_address),
    Rule(label="MAC", pattern=r"(?i)\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b"),
    Rule(label="SECRET", pattern=r"(?i)\b[0-9a-f]{24,}\b"),
    Rule(label="SECRET", pattern=r"[A-Za-z0-9+/_-]{20,}={0,2}", accepts=is_random),
    Rule(
        label="PHONE",
        pattern=rf"(?i)\b(?:tel|phone|mobile|mobil|cell|fax|telefon|handy)[a-z]{{0,6}}[ .:#]{{0,4}}"
        rf"(\+?{_DIGIT}(?:[ ./()-]{{0,2}}{_DIGIT}){{4,14}})",
        group=1,
    ),
    Rule(label="PHONE", pattern=rf"(?:\+|\b00){_DIGIT}(?:[ ./()-]{{0,2}}{_DIGIT}){{6,14}}", masks_dates=True),
    Rule(label="PHONE", pattern=rf"\b0{_DIGIT}(?:[ ./()-]{{0,2}}{_DIGIT}){{5,12}}", masks_dates=True),
    Rule(label="PHONE", pattern=rf"\({_DIGIT}{{2,5}}\)[ ./-]?{_DIGIT}(?:[ ./-]?{_DIGIT}){{4,10}}", masks_dates=True),
    Rule(label="PHONE", pattern=r"\b\d{2}(?: \d{2}){3}\b", masks_dates=True),
    Rule(
        label="NUMBER",
        pattern=rf"{_DIGIT}{{2,}}(?:[ ./-]{_DIGIT}{{2,}})*",
        accepts=is_long_number,
        masks_dates=True,
    ),
)
"""In order of precedence: where two overlap, all of both goes, under the name of the earlier."""
