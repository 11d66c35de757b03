"""Machines and wishes for the tests of the vLLM entrypoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from services.llm import registry
from services.llm.registry import Model
from services.llm.registry_gpus import gpus
from services.llm.serving.launch import Files, Launch, launch
from services.llm.serving.machine import Card, Machine
from services.llm.serving.variables import PREFIX, wanted

GIB = 1024**3
READABLE = Files(is_there=lambda path: False, unreadable=lambda path: "", read=lambda path: "s3cret\n")


def card(name: str, *, taken: int = 0) -> Card:
    """A card of the table, of which others hold `taken` bytes."""
    gpu = gpus()[name]
    return Card(
        index="0",
        uuid=f"GPU-{name}",
        name=gpu.what,
        total=gpu.memory_bytes,
        free=gpu.memory_bytes - taken,
        capability=gpu.compute_capability,
    )


def with_gpu(*cards: Card) -> Machine:
    """A machine with the official build and these cards."""
    return Machine(command=("vllm", "serve"), names_model=False, is_cpu=False, has_bf16=False, cards=cards)


def with_cpu(*, has_bf16: bool = False) -> Machine:
    """A machine with the CPU build."""
    command = ("python", "-m", "vllm.entrypoints.openai.api_server")
    return Machine(command=command, names_model=True, is_cpu=True, has_bf16=has_bf16, cards=())


def launched(
    model: str,
    machine: Machine,
    *,
    extra: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    files: Files = READABLE,
    known: Mapping[str, Model] | None = None,
    **ours: str,
) -> Launch:
    """What would start `model` of `known`; `ours` are our variables without their prefix, in lower case."""
    env = {**(env or {}), **{PREFIX + name.upper(): value for name, value in ours.items()}}
    return launch(wanted(env, model), machine, known or registry.models(), extra=extra, env=env, files=files)


def value(argv: Sequence[str], option: str) -> str:
    """The first word after `option`."""
    return argv[argv.index(option) + 1]


def unreadable(path: Path) -> str:
    return f"{path} may not be read by uid 10001"
