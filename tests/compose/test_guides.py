"""The compose commands of the guides, read by `docker compose` itself: stacks, verbs, options. No engine is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compose.running import said
from tests.conftest import REPO
from tests.house import guides

pytestmark = pytest.mark.compose

STACKS = sorted({(command.files, command.env_file) for command in guides.compose_commands()})
VERBS = sorted({command.verb for command in guides.compose_commands()})


@pytest.mark.parametrize(("files", "env_file"), STACKS, ids=lambda v: " ".join(v) if isinstance(v, tuple) else v)
def test_each_combination_of_files_is_a_stack(
    files: tuple[str, ...], env_file: str, compose_command: None, tmp_path: Path
) -> None:
    """With the .env that the page names, or an empty one."""
    (tmp_path / ".env").touch()
    env = str(REPO / env_file) if env_file else str(tmp_path / ".env")
    named = [word for file in files for word in ("-f", file)]

    assert "rag" in said(["docker", "compose", "--env-file", env, *named, "config", "--services"]).split()


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_the_options_that_are_shown(verb: str, compose_command: None) -> None:
    used = {flag for command in guides.compose_commands() if command.verb == verb for flag in command.flags}
    known = said(["docker", "compose", verb, "--help"]).replace(",", " ").split()

    assert used <= set(known)
