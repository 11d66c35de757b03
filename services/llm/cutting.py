"""Cuts texts to the window of an embedding model, by its own tokenizer, before any provider sees them.

vLLM answers 400 to a text that is too long, Ollama cuts at another place and answers 200 (reference/services.md 4.3):
only a text that fits gives the same vector everywhere.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

from services.llm.errors import ConfigError

TOKENIZER = "tokenizer.json"
LONG_WORD = re.compile(r"(\w{64})(?=\w)")
"""Where a very long word is parted. The model's own tokenizer knows no word of more than 100 characters and gives all
of them one vector; Ollama cuts them into pieces: on one such text the two were at a cosine of 0.12."""

UNKNOWN = "\u2603"
"""A character that few vocabularies know: a tokenizer that cannot say so would fail at the first text that has one."""


class Cutter:
    """Cuts to `tokens` tokens, the special ones included. `file` is read by the first text that could be too long."""

    def __init__(self, file: Path, *, tokens: int) -> None:
        self._file = file
        self._tokens = tokens
        self._lock = threading.Lock()
        self._tokenizer: Any = None

    def cut(self, text: str) -> str:
        """`text`, or its beginning up to the end of the last word that fits whole; very long words parted by spaces.

        Raises `ConfigError`.
        """
        text, tokenizer = LONG_WORD.sub(r"\1 ", text), self.tokenizer()
        room = self._tokens - tokenizer.num_special_tokens_to_add(is_pair=False)
        encoded = tokenizer.encode(text, add_special_tokens=False)
        if len(encoded.ids) <= room:
            return text
        words = encoded.word_ids
        last = room
        while last > 0 and words[last] == words[last - 1]:
            last -= 1
        return text[: encoded.offsets[(last or room) - 1][1]]

    def tokenizer(self) -> Any:
        """The model's tokenizer, neither cutting nor padding by itself. Raises `ConfigError` where it is not there."""
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = read(self._file)
            return self._tokenizer


def read(file: Path, *, provider: str = "") -> Any:
    """The tokenizer of a model's folder. Raises `ConfigError` that says how to get it, or how to get it anew."""
    from tokenizers import Tokenizer

    model = file.parents[1].name
    if not file.is_file():
        raise ConfigError(f"no tokenizer {file}; `cutover models --fetch {model}` brings it", provider=provider)
    try:
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()  # MiniLM's file says 128 tokens and padding up to them, its model card 256 and none
        tokenizer.no_padding()
        tokenizer.encode(UNKNOWN)
    except Exception as exc:  # the library raises this very class
        anew = f"remove {file.parent}, and `cutover models --fetch {model}` brings it anew"
        raise ConfigError(f"{file} is no tokenizer ({exc}); {anew}", provider=provider) from exc
    return tokenizer
