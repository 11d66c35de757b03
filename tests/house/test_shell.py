"""Shell scripts and Dockerfiles: clean under the linters that the requirements pin, and as promised."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT, tracked_files

BIN = Path(sys.executable).parent
TRACKED = tracked_files()
DOCKERFILES = [p for p in TRACKED if p.name.startswith("Dockerfile") and p.suffix != ".dockerignore"]
SHIPPED = [p for p in DOCKERFILES if p.parts[0] != "tests"]
SHEBANG = re.compile(r"#!.*\b(?:ba|da)?sh\b")


def is_shell(path: Path) -> bool:
    with (ROOT / path).open("rb") as file:
        return bool(SHEBANG.match(file.readline(200).decode("utf-8", "replace")))


SCRIPTS = [p for p in TRACKED if p.suffix == ".sh" or (not p.suffix and is_shell(p))]


def lint(tool: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / tool, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("path", SCRIPTS, ids=str)
def test_a_script_is_clean_under_shellcheck(path: Path) -> None:
    done = lint("shellcheck", str(path))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_a_dockerfile_is_clean_under_hadolint(path: Path) -> None:
    done = lint("hadolint", str(path))
    assert done.returncode == 0, done.stdout


def test_the_linters_do_find_something(tmp_path: Path) -> None:
    script, dockerfile = tmp_path / "a.sh", tmp_path / "Dockerfile"
    script.write_text("#!/bin/sh\nrm $1\n")
    dockerfile.write_text("FROM debian:latest\n")

    assert "SC2086" in lint("shellcheck", str(script)).stdout
    assert "DL3007" in lint("hadolint", str(dockerfile)).stdout


def test_what_is_looked_at_is_there() -> None:
    assert {"vllm-entrypoint.sh", ".ci/run"} <= {str(p) for p in SCRIPTS}
    assert Path("Dockerfile.vllm") in DOCKERFILES


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_a_dockerfile_builds_behind_any_mirror(path: Path) -> None:
    """No syntax line (that is a pull), no registry, index, proxy or certificate: the base image brings those."""
    text = (ROOT / path).read_text(encoding="utf-8")

    assert not re.search(r"^#\s*syntax\s*=", text, re.MULTILINE | re.IGNORECASE)
    assert not re.findall(r"https?://(?!127\.0\.0\.1)\S+", text)
    assert not re.search(r"_proxy|PIP_CERT|trusted-host|SSL_CERT", text, re.IGNORECASE)


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_an_image_runs_as_nobody_and_says_whether_it_is_well(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")

    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1:] == ["10001:10001"]
    assert re.search(r"^HEALTHCHECK .*--start-period=\d+s", text, re.MULTILINE)
    assert 'ENTRYPOINT ["' in text, "a shell in between would keep signals from what runs"
