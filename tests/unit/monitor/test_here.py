"""The Prometheus configuration of one machine: every target is an address of this machine, promtool takes it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from services.monitor import here
from services.settings import load
from tests.conftest import REPO

TEXT = (REPO / here.CHECKED_IN).read_text()


def test_no_name_of_the_compose_network_is_left() -> None:
    settings = load({"CUTOVER_RAG_PORT": "9501", "VLLM_URL": "http://10.0.0.7:8100"})
    text = here.config(TEXT, here.addresses(settings), rules=Path("/somewhere/rules"))
    targets = [line for line in text.splitlines() if "targets" in line]

    assert len(targets) == 6
    assert all('"127.0.0.1:' in line or '"10.0.0.7:8100"' in line for line in targets)
    assert '"127.0.0.1:9501"' in text
    assert 'rule_files: ["/somewhere/rules/*.yml"]' in text


def test_another_file_is_refused() -> None:
    with pytest.raises(here.TargetError, match="rag:8501 is no target"):
        here.config("global: {}", here.addresses(load({})), rules=Path("rules"))


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is missing: apt-get install prometheus")
def test_promtool_takes_what_is_written(tmp_path: Path) -> None:
    file = tmp_path / "new" / "prometheus.yml"
    here.write(load({}), file, source=REPO / here.CHECKED_IN)

    checked = subprocess.run(["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "rule files found" in checked.stdout + checked.stderr
