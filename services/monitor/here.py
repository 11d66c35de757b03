"""`monitoring/prometheus.yml` for services that `cutover up` has started: this machine's addresses, no GPU exporter."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from services.settings import SERVICES, Settings, load

ALERTMANAGER = "127.0.0.1:9093"
CHECKED_IN = Path("monitoring/prometheus.yml")


class TargetError(Exception):
    """The file is not the one that names the targets of the compose network."""


def addresses(settings: Settings, alertmanager: str = ALERTMANAGER) -> Mapping[str, str]:
    """Each target as the compose network names it, and where it answers here."""
    usual = load({})
    found = {f"{s}:{usual.ports[s]}": f"127.0.0.1:{settings.ports[s]}" for s in SERVICES}
    found["vllm:8000"] = urlsplit(settings.vllm_url).netloc
    found[f"monitor:{usual.monitor_port}"] = f"127.0.0.1:{settings.monitor_port}"
    found["alertmanager:9093"] = alertmanager
    return found


def config(text: str, targets: Mapping[str, str], *, rules: Path) -> str:
    """The configuration `text` with other addresses and the rules of the folder `rules`. Raises `TargetError`."""
    for name, address in targets.items():
        if f'"{name}"' not in text:
            raise TargetError(f"{name} is no target of this Prometheus configuration; is it {CHECKED_IN}?")
        text = text.replace(f'"{name}"', f'"{address}"')
    text = re.sub(r"^- \{job_name: dcgm.*\n", "", text, flags=re.MULTILINE)
    return text.replace("[rules/*.yml]", json.dumps([str(rules / "*.yml")]))


def write(settings: Settings, file: Path, *, source: Path = CHECKED_IN) -> None:
    """Writes the configuration aside and renames it. Raises `TargetError`, `OSError`."""
    rules = (source.parent / "rules").resolve()
    text = config(source.read_text(), addresses(settings), rules=rules)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(text)
    aside.replace(file)
