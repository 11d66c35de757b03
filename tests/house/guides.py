"""What the guides show: their blocks, the commands in them, and how a command is taken apart."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from tests.house.sources import ROOT

PAGES = ("VLLM_SETUP_GUIDE", "VLLM_PERFORMANCE_GUIDE", "SCALING", "UPGRADING")
NOT_TESTED = re.compile(r"# not tested here: \w+")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """A `docker compose` command: its files, one verb, and what follows it."""

    files: tuple[str, ...]
    env_file: str
    verb: str
    words: tuple[str, ...]

    @property
    def flags(self) -> set[str]:
        """Options of the verb. `run` hands what follows the service's name to the container."""
        own = self.words[: self._service_at()] if self.verb == "run" else self.words
        return {word for word in own if word.startswith("-")}

    @property
    def services(self) -> tuple[str, ...]:
        if self.verb == "run":
            return self.words[self._service_at() : self._service_at() + 1]
        return tuple(word for word in self.words if not word.startswith("-") and not word.isdigit())

    @property
    def inside(self) -> tuple[str, ...]:
        """What the container of `run` is given."""
        return self.words[self._service_at() + 1 :]

    def _service_at(self) -> int:
        return next(i for i, word in enumerate(self.words) if not word.startswith("-"))


def text(page: str) -> str:
    return (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return [block for found, block in _FENCE.findall(text(page)) if found == language]


def languages(page: str) -> set[str]:
    return {language for language, _ in _FENCE.findall(text(page))}


def commands() -> list[tuple[str, ...]]:
    """Every command of a block that says nothing of not being tested, split into words; shell code is left whole."""
    shown = [block for page in PAGES for block in blocks(page, "sh") if not NOT_TESTED.match(block)]
    return [tuple(shlex.split(line)) for block in shown if not is_script(block) for line in block.splitlines()]


def is_script(block: str) -> bool:
    """Whether a block is shell code, to be executed as one."""
    return any(word in block for word in ("; do ", "&&", "|"))


def compose_commands() -> list[Compose]:
    return [_compose(list(words[2:])) for words in commands() if words[:2] == ("docker", "compose") and words[2:]]


def _compose(words: list[str]) -> Compose:
    files, env_file = [], ""
    while words[0] in ("-f", "--env-file"):
        option, value = words[:2]
        files += [value] if option == "-f" else []
        env_file = value if option == "--env-file" else env_file
        words = words[2:]
    return Compose(files=tuple(files), env_file=env_file, verb=words[0], words=tuple(words[1:]))
