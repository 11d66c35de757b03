"""Every command that a page shows is executed by a test: here when it is cheap, else by the test named beside it."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT, tree

PAGES = ("README.md", "bench/README.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RUN_HERE: dict[str, int] = {
    ".venv/bin/cutover --help": 0,
    ".venv/bin/cutover status": 0,
    ".venv/bin/cutover status --json": 0,
    ".venv/bin/cutover history": 0,
    ".venv/bin/cutover rollback notes": 0,
    ".venv/bin/cutover faults": 0,
    ".venv/bin/cutover overhead --without-peers --rounds 5": 0,
}
"""Command -> exit code on a machine where nothing runs yet. Run from the sources, with a home of their own."""

EXECUTED_BY: dict[str, str] = {
    "make run": "tests/engines/test_run.py::test_make_run_ends_with_the_table",
    "make test": "tests/house/test_readme.py::test_make_test_runs_every_test",
    "make down": "tests/engines/test_run.py::test_make_down_with_nothing_running",
    ".venv/bin/cutover doctor notes": "tests/engines/test_run.py::test_doctor_finds_no_failure_on_our_own_engines",
    ".venv/bin/cutover gate notes": "tests/engines/test_run.py::test_short_gate_is_inconclusive_and_recomputable",
    ".venv/bin/cutover migrate notes": "tests/engines/test_run.py::test_inconclusive_moves_nothing_in_normal_use",
    ".venv/bin/locust -f bench/ --headless -u 3 -r 3 -t 20s": (
        "tests/unit/bench/test_locustfiles.py"
        "::test_one_command_drives_all_three_services_and_times_streams_at_the_first_token"
    ),
}
"""Command -> the test that executes it. Add a row when a page gains a command; never a row without a test."""


def commands(page: str) -> list[str]:
    """The command lines of a page's `sh` blocks: without comments, continued lines joined."""
    found = []
    for language, block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
        if language == "sh":
            lines = block.replace("\\\n", " ").splitlines()
            found += [" ".join(shlex.split(line, comments=True)) for line in lines]
    return [command for command in found if command]


def shown() -> list[str]:
    return [command for page in PAGES for command in commands(page)]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_has_a_test_that_executes_it(page: str) -> None:
    assert commands(page), f"{page} shows no command in a ```sh block"
    untested = [c for c in commands(page) if c not in RUN_HERE and c not in EXECUTED_BY]
    assert not untested, f"run in a test, name that test in EXECUTED_BY, or do not show: {'; '.join(untested)}"


@pytest.mark.parametrize("page", PAGES)
def test_blocks_name_their_language(page: str) -> None:
    """A command in a block without `sh` would escape this test."""
    languages = {language for language, _ in FENCE.findall((ROOT / page).read_text(encoding="utf-8"))}
    assert languages <= {"sh", "json", "text", "toml", "yaml", "python"}


@pytest.mark.parametrize(("command", "test"), EXECUTED_BY.items(), ids=EXECUTED_BY)
def test_the_named_test_exists_and_its_command_is_shown(command: str, test: str) -> None:
    """A renamed test or a dropped command must not leave a row that promises nothing."""
    file, _, name = test.partition("::")
    assert (ROOT / file).is_file(), f"{file} does not exist"
    names = {n.name for n in ast.walk(tree(Path(file))) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name.rpartition("::")[2] in names, f"{file} has no {name}"
    assert command in shown(), "no page shows it; drop the row"


@pytest.mark.parametrize(("command", "code"), RUN_HERE.items(), ids=RUN_HERE)
def test_cheap_commands_do_what_they_say(command: str, code: int, tmp_path: Path) -> None:
    """From the sources, because `.venv` is what `make run` makes, not what the tests run in."""
    words = shlex.split(command)
    assert words[0] == ".venv/bin/cutover"
    ours = ("CUTOVER_", "LLM_", "VLLM_", "OLLAMA_", "RAG_", "NOTES_", "NER_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {"CUTOVER_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *words[1:]],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stdout.strip()


def test_make_test_runs_every_test() -> None:
    """`make test` is what runs this; that it leaves nothing out can be seen without running it twice."""
    argv = ["make", "--no-print-directory", "--dry-run", "test"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)

    assert re.findall(r'-m pytest -m "([^"]*)"', done.stdout) == ["not engines and not compose", "engines or compose"]
