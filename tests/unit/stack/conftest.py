"""A machine of our own making: a CUTOVER_HOME, fake engines on the PATH, the model's files already there."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services import settings as settings_room
from services.llm import registry
from services.settings import Settings
from services.stack import local
from services.stack.processes import Processes
from tests.conftest import held_ports

Env = dict[str, str]


@dataclass
class Recorder:
    """A `Progress` that remembers."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)

    def begin(self, step: str, detail: str = "") -> None:
        self.lines.append(("begin", step, detail))

    def note(self, step: str, detail: str) -> None:
        self.lines.append(("note", step, detail))

    def end(self, step: str, detail: str = "") -> None:
        self.lines.append(("end", step, detail))


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """A function that gives a port nobody listens on, another one each time; nobody else gets it until the test ends.

    An engine listens seconds after its port was chosen, and other processes run tests meanwhile.
    """
    with contextlib.ExitStack() as held:
        yield lambda: held.enter_context(held_ports(1))[0]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    found = Processes(home=tmp_path / "home")
    yield found
    for name, state in found.states().items():
        if not state.problem:
            found.stop(name, grace_s=0)


@pytest.fixture
def env(tmp_path: Path, free_port: Callable[[], int]) -> Env:
    """The environment of a machine with fake engines on its PATH."""
    commands = tmp_path / "bin"
    commands.mkdir()
    fake = Path(__file__).with_name("fake_engine.py")
    for name in ("vllm", "ollama"):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{fake}" "$@"\n')
        (commands / name).chmod(0o755)
    ports = {f"CUTOVER_{n}_PORT": str(free_port()) for n in ("VLLM", "OLLAMA", "RAG", "NOTES", "NER")}
    path = f"{commands}:{os.defpath}"
    return {"PATH": path, "CUTOVER_HOME": str(tmp_path / "home"), **ports}


@pytest.fixture
def settings(env: Env) -> Iterator[Settings]:
    """Its settings, with the model fetched and dequantised. Whatever a test starts is stopped."""
    loaded = settings_room.load(env)
    source = registry.model("smollm2-135m").source
    assert source is not None
    folder = loaded.engines_dir / "models/smollm2-135m" / source.package.replace("==", "-")
    (folder / "dequantised").mkdir(parents=True)
    (folder / source.file).write_bytes(b"GGUF")
    yield loaded
    local.down(loaded, Recorder())
