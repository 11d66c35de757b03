"""Helps a person to look a recording over before it is used: a copy to edit, and the words in it that may be names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.migration.errors import RecordingError
from services.migration.recording import Recorded
from services.recording.account import write_private
from services.recording.redaction import PatternError, Redactor

NAMES_WARNING = (
    "names of people, companies and places are NOT taken out, nor is anything else that has no shape; read what was "
    "recorded before you use it"
)
REVIEW_LABEL = "REVIEWED"
MOST_CANDIDATES = 200
_PLACEHOLDER = re.compile(r"<[A-Z]+_\d+[^<>]*>")
_WORD = re.compile(r"[^\W\d_][\w'’-]*")


def candidates(requests: Sequence[Recorded]) -> list[tuple[str, int]]:
    """Runs of capitalised words inside sentences, most frequent first. A hint: it misses names and finds nouns."""
    found: Counter[str] = Counter()
    for text in (t for request in requests for t in _texts(request.body)):
        found.update(_runs(_PLACEHOLDER.sub("<>", text)))
    return found.most_common(MOST_CANDIDATES)


def copy(target: Path, requests: Sequence[Recorded], patterns: Sequence[str]) -> int:
    """Write the copy to edit, with `patterns` taken out as well. How many values went. Raises `RecordingError`."""
    if target.exists():
        raise RecordingError(f"{target} is there already; name another file, or delete it")
    try:
        redactor = Redactor(patterns, label=REVIEW_LABEL, rules=())
        lines = [json.dumps({"id": r.id, "body": redactor.body(dict(r.body))}, ensure_ascii=False) for r in requests]
        target.parent.mkdir(parents=True, exist_ok=True)
        write_private(target, "".join(f"{line}\n" for line in lines))
    except PatternError as exc:
        raise RecordingError(str(exc)) from exc
    except (OSError, ValueError) as exc:
        raise RecordingError(f"cannot write the copy {target}: {exc}") from exc
    return sum(redactor.counts.values())


def _runs(text: str) -> Iterator[str]:
    """Each run of words that begin with a capital, without the first word of a sentence."""
    run: list[str] = []
    before = 0
    for word in _WORD.finditer(text):
        gap = text[before : word.start()]
        begins = before == 0 or bool(re.search(r"[.!?:\n<>]", gap))
        if run and (gap != " " or not word[0][0].isupper()):
            yield " ".join(run)
            run = []
        if word[0][0].isupper() and not begins:
            run.append(word[0])
        before = word.end()
    if run:
        yield " ".join(run)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for part in value:
                yield from _texts(part)
        case Mapping():
            for part in value.values():
                yield from _texts(part)
