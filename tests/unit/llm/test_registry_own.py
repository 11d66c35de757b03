"""A registry of one's own: laid over the shipped one, checked, added to whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.llm.registry import REGISTRY_FILE, RegistryError, chat_model, load, model, models, parse, read
from services.llm.registry_check import remarks
from services.llm.registry_own import HEAD, add
from services.llm.sizing import GIB, gpus, plan

ENTRY = """\
[mine]
why = "the team's own fine-tune"
context = 4096
vllm = "mine"
ollama = "mine:latest"
capabilities = ["schema"]

[mine.serving]
parameters = 1_000_000_000
max_context = 8192
license = "ours"
gated = false
layers = 16
kv_heads = 8
head_dim = 64
source = "our config.json"
checked = 2026-11-21

[mine.weights.bf16]
hugging_face = "team/mine"
bytes = 2_000_000_000
seen = "our own hub"
revision = "0123456789abcdef0123456789abcdef01234567"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "home" / "models.toml"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "entry.toml"
    file.write_text(ENTRY)
    return file


def test_adding_a_model_is_one_entry(own: Path, source: Path) -> None:
    """It chats and can be planned at once; the shipped file is as before."""
    before = REGISTRY_FILE.read_bytes()
    assert list(add(own, source)) == ["mine"]

    made = plan(chat_model("mine", own), gpus()["rtx-3090"], context=None, ollama_resident=6 * GIB)
    assert (made.fits, made.hugging_face) == (True, "team/mine")
    assert model("smollm2-135m", own) == model("smollm2-135m")
    assert REGISTRY_FILE.read_bytes() == before
    assert "mine" not in models()


def test_adding_twice_is_no_error_and_no_second_entry(own: Path, source: Path) -> None:
    add(own, source)
    once = own.read_text()
    add(own, source)

    assert own.read_text() == once == HEAD + "\n" + ENTRY


def test_what_stands_there_is_kept(own: Path, source: Path) -> None:
    """Comments included; the new entry comes behind it."""
    own.parent.mkdir()
    own.write_text('# ours\n[other]\nwhy = "there before"\ncontext = 8\nollama = "other:latest"\n')
    add(own, source)

    assert own.read_text().startswith("# ours\n[other]")
    assert set(read(own)) == {"other", "mine"}


def test_another_entry_of_the_same_alias_is_refused(own: Path, source: Path) -> None:
    add(own, source)
    source.write_text(ENTRY.replace("4096", "2048"))

    with pytest.raises(RegistryError, match="has mine already, and another one; edit it there"):
        add(own, source)
    assert read(own)["mine"].context == 4096


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"team/mine"', '"mine:latest"', "an Ollama tag is none"),
        ("2_000_000_000", "200_000_000", "0.20 each, and bf16 weights have"),
        ("context = 4096", "context = 9000", "beyond the model's 8192"),
        ("gated = false", 'gated = "no"', "gated='no' is not true or false"),
        ("2026-11-21", '"yesterday"', "is not a date"),
        ('revision = "0', 'revision = "main', "not a commit of 40 hex digits"),
        ("weights.bf16", "weights.int3", "none of bf16, fp8, mxfp4, w4"),
        ("layers = 16", "layers = 0", "layers=0 is not a positive whole number"),
        ("head_dim = 64", "head_dim = 64\nwindow = 128", "windowed_layers and window go together"),
        ("[mine]", "[mine.5]", "an alias with a dot is quoted"),
        ('vllm = "mine"', 'vllm = "qwen3-8b"', r"vllm = 'qwen3-8b' is \[qwen3-8b\] already"),
        ("[mine]", "[mine", "cannot read the model registry"),
        ('source = "our config.json"', "", "source"),
    ],
)
def test_an_entry_that_would_mislead_changes_nothing(own: Path, source: Path, old: str, new: str, said: str) -> None:
    """Each mistake is told with its file."""
    assert old in ENTRY
    source.write_text(ENTRY.replace(old, new))

    with pytest.raises(RegistryError, match=said) as told:
        add(own, source)
    assert str(source) in str(told.value)
    assert not own.exists()


def test_a_file_without_entries_and_no_file_are_told(own: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("# nothing\n")

    with pytest.raises(RegistryError, match="has no entry"):
        add(own, tmp_path / "empty.toml")
    with pytest.raises(RegistryError, match="cannot read"):
        add(own, tmp_path / "absent.toml")


def test_a_folder_that_cannot_be_made_is_told(source: Path, tmp_path: Path) -> None:
    """With the setting that names another place."""
    (tmp_path / "file").write_text("")

    with pytest.raises(RegistryError, match="CUTOVER_MODELS"):
        add(tmp_path / "file" / "models.toml", source)


def test_the_shipped_registry_has_no_errors() -> None:
    """Notes it has: no revision could be looked up without a model hub."""
    found = remarks(models())

    assert not [remark for remark in found if remark.is_error]
    assert {r.alias for r in found} == {a for a, e in models().items() if e.serving}


def test_an_own_entry_wins_over_the_shipped_one(own: Path) -> None:
    """So a window can be widened without touching the installed package."""
    wide = 'why = "a wider window than the shipped one"\ncontext = 32768\nvllm = "qwen3-8b"\nollama = "qwen3:8b"\n'
    own.parent.mkdir()
    own.write_text(f"[qwen3-8b]\n{wide}")

    assert (models(own)["qwen3-8b"].context, models()["qwen3-8b"].context) == (32768, 8192)
    with pytest.raises(RegistryError, match=str(own)):
        model("nobody", own)


def test_a_chat_model_without_a_size_is_noted(tmp_path: Path) -> None:
    entry = '[bare]\nwhy = "no size"\ncontext = 8\nvllm = "bare"\n'
    (remark,) = remarks(parse(entry, tmp_path / "x.toml"))

    assert (remark.alias, remark.is_error) == ("bare", False)
    assert "cutover plan" in remark.text
    assert load(REGISTRY_FILE) is load(REGISTRY_FILE)
