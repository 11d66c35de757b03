"""Metrics pages of live services, engines and the exporter. `python -m tests.recorded.pages` writes them down again.

It asks what runs by the environment's settings (`CUTOVER_HOME`, ports), after `cutover up` and
`python -m services.monitor`. Numbers are left as they came; paths of the machine are not on these pages. What no
machine here can show is `dcgm.txt`: field names of NVIDIA's dcgm-exporter, `etc/default-counters.csv` at commit
00d6d344, those that a GeForce has.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path

import httpx2

from services.settings import SERVICES, load
from services.stack import local

HERE = Path(__file__).with_name("pages")
SOURCES = (*SERVICES, "vllm", "monitor")
CREATED = re.compile(r"^(# (?:HELP|TYPE) )?[\w:]+_created[{ ].*\n", re.MULTILINE)


def main() -> None:
    settings = load(os.environ)
    vllm = local.snapshot(settings)["vllm"].port if "vllm" in local.snapshot(settings) else settings.vllm_port
    urls = {s: settings.service_url(s) for s in SERVICES}
    urls |= {"vllm": f"http://127.0.0.1:{vllm}", "monitor": f"http://127.0.0.1:{settings.monitor_port}"}
    HERE.mkdir(exist_ok=True)
    for source, url in urls.items():
        answer = httpx2.get(f"{url}/metrics", trust_env=False, timeout=10)
        answer.raise_for_status()
        (HERE / f"{source}.txt").write_text(CREATED.sub("", answer.text))
        sys.stdout.write(f"{source}: {len(answer.text.splitlines())} lines\n")


@cache
def text(source: str) -> str:
    """A recorded page."""
    return (HERE / f"{source}.txt").read_text()


@cache
def labels(source: str) -> dict[str, frozenset[str]]:
    """Every series name of a page, with the names of the labels that it has."""
    found: dict[str, set[str]] = {}
    for name, inside in re.findall(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})? ", text(source), re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'([A-Za-z_]\w*)="', inside))
    return {name: frozenset(names) for name, names in found.items()}


def edges(source: str, histogram: str) -> list[float]:
    """The finite bucket edges of a histogram, rising."""
    found = re.findall(rf'^{re.escape(histogram)}_bucket\{{.*le="([^"]+)"', text(source), re.MULTILINE)
    return sorted({float(edge) for edge in found if edge != "+Inf"})


if __name__ == "__main__":
    main()
