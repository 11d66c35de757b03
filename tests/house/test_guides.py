"""The guides to setup, speed, scaling and upgrades: what they show is read by the programs that it calls, or says not.

What needs Docker's own reading is in tests/compose/test_guides.py.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import parser
from services.llm.serving.variables import VARIABLES as SERVING
from services.variables import VARIABLES
from tests.compose.running import ASKED
from tests.house import guides
from tests.house.guides import PAGES
from tests.house.sources import ROOT

COMPOSES_OWN = {"COMPOSE_FILE", "COMPOSE_PROFILES"}
COMPOSE_FILES = ("docker-compose.yml", "docker-compose-vllm.yml", "compose/replicas.yml")
VALUES = (ROOT / "docs/scaling/values.yaml").read_text(encoding="utf-8")

each_page = pytest.mark.parametrize("page", PAGES)


def cutover_commands() -> list[tuple[str, ...]]:
    """Arguments of `cutover`, on the host and in its container."""
    plain = [words[1:] for words in guides.commands() if words[0] == "cutover"]
    return plain + [c.inside for c in guides.compose_commands() if c.verb == "run" and c.services == ("cutover",)]


def mentioned() -> list[tuple[str, frozenset[str]]]:
    """Verb and options of each `cutover VERB --option` in running text and tables, where values may be left out."""
    found = {m for page in PAGES for m in re.findall(r"`cutover ([a-z]+[^`]*)`", guides.text(page))}
    split = [words.split() for words in sorted(found)]
    return [(words[0], frozenset(word for word in words if word.startswith("--"))) for words in split]


@each_page
def test_a_block_is_a_language_that_is_looked_at(page: str) -> None:
    """A command in another block would escape these tests."""
    assert guides.languages(page) <= {"sh", "ini", "text"}


def test_every_command_is_of_a_program_that_is_asked() -> None:
    """A new kind of command gets a test, or its block says why not."""
    programs = {words[0] for words in guides.commands()}
    dockers = {words[1] for words in guides.commands() if words[0] == "docker"}

    assert programs <= {"cutover", "docker", "make", "curl"}
    assert dockers <= {"compose", "version"}


@each_page
def test_every_block_is_shell(page: str) -> None:
    """Those that are not tested here, too."""
    for block in guides.blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{block}"


@pytest.mark.parametrize("words", cutover_commands(), ids=" ".join)
def test_our_command_line_takes_it(words: tuple[str, ...]) -> None:
    assert parser().parse_args(words).verb == words[0]


def test_verbs_and_options_in_the_text_exist() -> None:
    [verbs] = [a.choices for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    for verb, options in mentioned():
        assert verb in verbs and options <= verbs[verb]._option_string_actions.keys(), (verb, options)


def test_a_command_that_is_gone_would_be_seen() -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["gate", "notes", "--laps", "100"])


@pytest.mark.parametrize("words", [c for c in cutover_commands() if c[0] in ("plan", "models")], ids=" ".join)
def test_what_needs_no_engine_is_executed(words: tuple[str, ...], tmp_path: Path) -> None:
    """Plans and lists: exit 0, and 1 only where the page is about something that does not fit."""
    done = cutover(words, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def cutover(words: tuple[str, ...], home: Path) -> subprocess.CompletedProcess[str]:
    env = {"CUTOVER_HOME": str(home), "PATH": "/usr/bin:/bin"}
    argv = [sys.executable, "-m", "services.cli", *words]
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {words[1] for words in guides.commands() if words[0] == "make"}
    assert used <= targets


def test_compose_commands_name_files_and_services_that_exist() -> None:
    text = "".join((ROOT / file).read_text() for file in COMPOSE_FILES)
    services = set(re.findall(r"^  ([\w-]+):(?: |$)", text, re.MULTILINE))
    for command in guides.compose_commands():
        assert all((ROOT / file).is_file() for file in (*command.files, *filter(None, [command.env_file])))
        assert set(command.services) <= services, command


def test_questions_are_those_that_the_stack_is_asked() -> None:
    """tests/compose asks the same address and body of the running stack."""
    ports = {v.name: v.default for v in VARIABLES}
    known = {f"http://127.0.0.1:{ports[f'CUTOVER_{name.upper()}_PORT']}{p}": body for name, (p, body) in ASKED.items()}
    for words in (w for w in guides.commands() if w[0] == "curl"):
        url = next(word for word in words if word.startswith("http"))
        body = json.loads(words[words.index("-d") + 1])
        assert url in known and body.keys() == known[url].keys()


def test_the_secrets_block_makes_what_compose_mounts(tmp_path: Path) -> None:
    """Executed as shown: a closed folder, files that the container's user may read, a .env."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    [block] = [b for page in PAGES for b in guides.blocks(page, "sh") if guides.is_script(b) and "# not" not in b]
    shutil.copy(ROOT / ".env.example", tmp_path)
    subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, check=True)

    folder = tmp_path / ".cutover/secrets"
    names = set(re.findall(r"CUTOVER_SECRETS:-[^}]*\}/(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert names and {f.name for f in folder.iterdir()} == names
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {0o644}
    assert (tmp_path / ".env").read_bytes() == (ROOT / ".env.example").read_bytes()


@each_page
def test_settings_that_are_shown_exist(page: str) -> None:
    """In `.env` lines and in the running text."""
    ours = {v.name for v in VARIABLES} | {v.name for v in SERVING} | COMPOSES_OWN
    lines = [line.partition("=")[0] for block in guides.blocks(page, "ini") for line in block.splitlines()]
    named = re.findall(r"`((?:CUTOVER_|LLM_|OLLAMA_|VLLM_|HF_TOKEN)[A-Z_]*)(?:=[^`]*)?`", guides.text(page))
    elsewhere = {"VLLM_PORT", "OLLAMA_HOST"}
    assert {*lines, *named} - ours - elsewhere == set()


@each_page
def test_links_and_files_exist(page: str) -> None:
    text = guides.text(page)
    links = [target.partition("#")[0] for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text)]
    files = re.findall(r"`((?:requirements|compose|docs|tests|services)/[\w./-]+|Dockerfile[\w.]*)(?:::\w+)?`", text)

    assert not [target for target in links if not (ROOT / "docs" / target).exists()]
    assert not [file for file in files if not (ROOT / file).exists()]


def test_our_own_messages_are_as_the_code_says_them() -> None:
    """The parts in bold of the table of symptoms."""
    shown = re.findall(r"\*\*`([^`]+)`\*\*", guides.text("VLLM_SETUP_GUIDE"))
    code = "".join(file.read_text() for file in (ROOT / "services/llm/serving").glob("*.py"))

    assert len(shown) >= 6
    assert [message for message in shown if message not in code] == []


def test_the_charts_values_are_what_the_plan_says(tmp_path: Path) -> None:
    """Each argument of the plan has its place in docs/scaling/values.yaml, with the same value."""
    [command] = re.findall(r"^#   cutover (plan .*)$", VALUES, re.MULTILINE)
    plan = json.loads(cutover((*command.split(), "--json"), tmp_path).stdout)
    fields = {"max-model-len": "maxModelLen", "max-num-seqs": "maxNumSeqs", "tool-call-parser": "toolCallParser"}
    fields |= {"gpu-memory-utilization": "gpuMemoryUtilization"}
    alone = {"enable-prefix-caching": "enablePrefixCaching: true", "enable-auto-tool-choice": "enableTool: true"}

    rest = iter(plan["flags"])
    for flag in (word.removeprefix("--") for word in rest):
        value = "" if flag in alone else next(rest)
        line = alone.get(flag) or (f"{fields[flag]}: {value}" if flag in fields else f"- --{flag}={value}")
        assert re.search(rf"^ +{re.escape(line)}$", VALUES, re.MULTILINE), line
    assert f"modelURL: {plan['hugging_face']}\n" in VALUES
    assert f"- --served-model-name={plan['model']}\n" in VALUES
