"""`cutover plan` and `cutover models` as commands: what they print, their JSON, their exit codes, every wrong word."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from services import cli
from services.llm.registry import REGISTRY_FILE, models

ASKED = "plan --gpu rtx-3090 --model qwen3-8b --context 8192 --ollama-resident 6GiB"
OWN = """\
[mine]
why = "the team's own fine-tune"
context = 4096
vllm = "mine"
ollama = "mine:latest"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CUTOVER_HOME of its own, on a narrow terminal."""
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("CUTOVER_MODELS", raising=False)
    return tmp_path


def run(line: str) -> int:
    """The exit code, also where argparse ends the process."""
    try:
        return cli.main(shlex.split(line))
    except SystemExit as exc:
        assert isinstance(exc.code, int)
        return exc.code


def told(line: str, capsys: pytest.CaptureFixture[str], *, code: int = 0) -> dict[str, Any]:
    assert run(f"{line} --json") == code
    return dict(json.loads(capsys.readouterr().out))


def test_the_question_of_the_readme_is_answered_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Each term of the sum, the verdict, what would do instead, and the price with its date; 80 columns; exit 1."""
    assert run(ASKED) == 1
    out = capsys.readouterr().out

    for amount in ("24.00 GiB", "6.00 GiB", "0.60 GiB", "0.725", "17.40 GiB", "15.26 GiB", "1.50 GiB", "0.64 GiB"):
        assert amount in out
    assert "2 x 36 layers x 8 KV heads x 128 x 2 bytes = 147,456 bytes" in out
    assert "does not fit" in out
    assert "--quantisation fp8" in out
    assert "$0.39 an hour (2026-03-10" in out
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_offered_instead_fits(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked as it says, it exits 0 and shows the arguments for vLLM."""
    assert run(f"{ASKED} --quantisation fp8") == 0
    out = capsys.readouterr().out

    assert "fits: " in out
    assert "--max-model-len 8192 --gpu-memory-utilization 0.725" in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_json_has_the_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the design, and one object even where it does not fit."""
    document = told(ASKED, capsys, code=1)

    stable = ("fits", "why", "weights_bytes", "kv_bytes_per_token", "kv_tokens", "sequences", "flags")
    assert tuple(document)[: len(stable)] == stable
    assert (document["fits"], document["kv_tokens"], document["flags"]) == (False, 4672, [])
    assert document["alternative"]["quantisation"] == "fp8"
    assert document["price_per_hour"]["usd"] == 0.39
    assert document["price_per_hour"]["date"] == "2026-03-10"
    assert told(f"{ASKED} --quantisation fp8", capsys)["sequences"] == 6


def test_several_cards_are_asked_for_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """For a model that no card holds."""
    assert run("plan --gpu h100 --model qwen3-235b") == 1
    assert "--quantisation fp8 --cards 4" in capsys.readouterr().out
    assert told("plan --gpu h100 --model qwen3-235b --cards 4", capsys)["cards"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--gpu rtx3090 --model qwen3-8b", "did you mean rtx-3090?"),
        ("--gpu tpu --model qwen3-8b", "known: a100-40, a100-80, a10g, h100, l4, rtx-3090"),
        ("--gpu l4 --model qwen3:8b", "did you mean qwen3-8b"),
        ("--gpu l4 --model qwen3-8b --context 99999", "1 to 40,960"),
        ("--gpu l4 --model qwen3-8b --context 0", "'0' is not a positive whole number"),
        ("--gpu l4 --model qwen3-8b --context 8k", "'8k' is not a positive whole number, like 8192"),
        ("--gpu l4 --model qwen3-8b --context -1", "'-1' is not a positive"),
        ("--gpu l4 --model qwen3-8b --ollama-resident 6GB", "'6GB' is 5.59GiB; write 5.59GiB, or 6GiB"),
        ("--gpu l4 --model qwen3-8b --ollama-resident 6", "has no unit"),
        ("--gpu l4 --model qwen3-8b --ollama-resident=-1GiB", "'-1GiB' is not an amount of memory"),
        ("--gpu l4 --model qwen3-8b --ollama-resident lots", "not an amount of memory"),
        ("--gpu l4 --model qwen3-8b --quantisation int3", "there are: bf16, fp8, w4"),
        ("--gpu l4 --model qwen3-8b --cards 3", "8 KV heads"),
        ("--gpu l4 --model smollm2-135m-embed", "nothing is known of its size"),
        ("--model qwen3-8b", "--gpu"),
    ],
)
def test_a_wrong_word_exits_64_and_says_what_would_do(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with the next command, and nothing on stdout that a script could take for an answer."""
    assert run(f"plan {arguments} --json") == 64
    seen = capsys.readouterr()

    assert said in seen.err
    assert "--help" in seen.err
    assert not seen.out


@pytest.mark.parametrize(("text", "bytes_"), [("0", 0), ("6GiB", 6 * 2**30), ("1.5 GiB", 3 * 2**29), ("64MiB", 2**26)])
def test_sizes_are_binary(text: str, bytes_: int, capsys: pytest.CaptureFixture[str]) -> None:
    document = told(f"plan --gpu h100 --model smollm2-135m --ollama-resident '{text}'", capsys)

    assert document["memory"]["ollama"] == bytes_


def test_the_list_shows_what_fits_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    """Chat and embedding apart, and each kind of weights with the sequences that it leaves room for."""
    assert run("models --gpu rtx-3090 --ollama-resident 6GiB") == 0
    lines = {words[0]: words[1:] for line in capsys.readouterr().out.splitlines() if (words := line.split())}
    assert lines["qwen3-8b"] == ["fp8", "6,", "w4", "9"]
    assert lines["qwen3-235b"] == ["does", "not", "fit"]
    assert lines["smollm2-135m-embed"] == ["embeds"]

    listed = told("models --gpu rtx-3090 --ollama-resident 6GiB", capsys)["models"]
    assert listed["qwen3-8b"]["fits"]["bf16"] == {"fits": False, "sequences": 0, "kv_tokens": 4672}
    assert (listed["smollm2-135m-embed"]["kind"], listed["llama-3.2-3b"]["gated"]) == ("embedding", True)


def test_the_list_is_whole_on_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """No alias is cut: it is what one types next."""
    assert run("models") == 0
    out = capsys.readouterr().out

    assert {line.split()[0] for line in out.splitlines() if line.strip()} >= set(models())
    assert max(map(len, out.splitlines())) <= 80


def test_a_model_of_one_s_own_is_one_entry_and_then_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Added to CUTOVER_HOME, listed at once, and the shipped file untouched."""
    before = REGISTRY_FILE.read_bytes()
    (home / "entry.toml").write_text(OWN)
    document = told(f"models --add {home / 'entry.toml'}", capsys)

    assert document == {"added": ["mine"], "file": str(home / "models.toml")}
    assert told("models", capsys)["models"]["mine"]["names"] == {"vllm": "mine", "ollama": "mine:latest"}
    assert REGISTRY_FILE.read_bytes() == before
    assert tomllib.loads((home / "models.toml").read_text())["mine"]["context"] == 4096


def test_the_own_file_may_be_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUTOVER_MODELS", str(home / "team" / "ours.toml"))
    (home / "entry.toml").write_text(OWN)

    assert told(f"models --add {home / 'entry.toml'}", capsys)["file"] == str(home / "team" / "ours.toml")


def test_a_check_names_each_mistake_and_exits_1(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file before it is added, and of everything that is in use."""
    file = home / "entry.toml"
    file.write_text(OWN.replace("4096", "0"))
    document = told(f"models --check {file}", capsys, code=1)
    assert document["errors"] == [{"alias": "mine", "text": "context=0 is not a window"}]

    assert run(f"models --add {file}") == 1
    assert "context=0" in capsys.readouterr().err

    everything = told("models --check", capsys)
    assert (everything["errors"], everything["files"]) == ([], [str(REGISTRY_FILE)])


def test_a_file_that_cannot_be_read_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And a list together with a change is one thing too many."""
    assert run(f"models --check {home / 'absent.toml'}") == 1
    assert "absent.toml" in capsys.readouterr().err
    assert run("models --check a --add b") == 64
