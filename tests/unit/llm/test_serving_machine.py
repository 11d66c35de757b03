"""What is read off a machine: nvidia-smi's table, CUDA_VISIBLE_DEVICES, the CPU's flags, files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.llm.serving.machine import cards_of, has_bf16, unreadable, visible

TABLE = """\
0, GPU-aaaa-1, NVIDIA GeForce RTX 3090, 24576, 24126, 8.6
1, GPU-bbbb-2, NVIDIA A100-SXM4-80GB, 81920, 81000, 8.0
"""


def test_each_line_is_a_card() -> None:
    first, second = cards_of(TABLE)

    assert (first.name, first.total, first.free) == ("NVIDIA GeForce RTX 3090", 24576 * 1024**2, 24126 * 1024**2)
    assert (first.capability, second.capability) == ((8, 6), (8, 0))


@pytest.mark.parametrize("table", ["", "No devices were found\n", "0, GPU-a, GB10, [N/A], [N/A], 12.1\n"])
def test_what_tells_no_memory_is_no_card(table: str) -> None:
    assert cards_of(table) == ()


@pytest.mark.parametrize(
    ("chosen", "indices"),
    [(None, "01"), ("1", "1"), ("1,0", "10"), ("GPU-bbbb", "1"), ("", ""), ("7,0", ""), ("-1", "")],
)
def test_only_what_cuda_may_see_counts(chosen: str | None, indices: str) -> None:
    assert "".join(card.index for card in visible(cards_of(TABLE), chosen)) == indices


def test_bfloat16_is_asked_of_the_cpu() -> None:
    assert has_bf16("processor : 0\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n")
    assert not has_bf16("processor : 0\nflags\t\t: fpu avx512f\n")
    assert not has_bf16("")


def test_a_folder_is_readable_with_all_that_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the kernel's answer is played for the file that another user could not read."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("x")
    assert unreadable(tmp_path) == ""

    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).suffix != ".safetensors" and real(path, mode))
    assert unreadable(tmp_path) == f"{tmp_path}/model.safetensors may not be read by uid {os.getuid()}"


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    assert unreadable(tmp_path / "gone") == f"{tmp_path}/gone does not exist"
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert unreadable(tmp_path) == f"{tmp_path}/link may not be read by uid {os.getuid()}"
