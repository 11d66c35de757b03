"""The registry as the table of docs/MODELS.md. `python -m tests.unit.llm.registry_page --write` renews the page."""

from __future__ import annotations

import sys
from pathlib import Path

from services.llm.registry import Model, models
from services.llm.registry_weights import PRECISIONS, Serving
from services.llm.sizing import GIB

PAGE = Path(__file__).parents[3] / "docs" / "MODELS.md"
BEGIN, END = "<!-- registry: python -m tests.unit.llm.registry_page --write -->\n", "<!-- end -->\n"
HEAD = """\
| alias | Ollama | weights for vLLM | KV bytes | context | at most | parsers | licence |
|---|---|---|---|---|---|---|---|
"""


def table() -> str:
    """One row for each entry; those that cannot be planned have dashes."""
    return HEAD + "".join(_row(entry) for entry in models().values())


def renewed(page: str) -> str:
    """The page with the table of today between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def _row(entry: Model) -> str:
    ollama = f"`{entry.names['ollama']}`" if "ollama" in entry.names else "-"
    cells = _sized(entry.serving) if entry.serving else ("-", "-", "-", "-", "-")
    weights, kv, most, parsers, licence = cells
    row = (f"`{entry.alias}`", ollama, weights, kv, f"{entry.context:,}", most, parsers, licence)
    return f"| {' | '.join(row)} |\n"


def _sized(served: Serving) -> tuple[str, str, str, str, str]:
    kinds = [served.weights[q] for q in PRECISIONS if q in served.weights]
    weights = "<br>".join(f"{w.precision} {w.bytes / GIB:.2f} `{w.hugging_face}`" for w in kinds)
    parsers = " / ".join(p for p in (served.tool_parser, served.reasoning_parser) if p) or "-"
    licence = served.license + (", **gated**" if served.gated else "")
    return weights, f"{served.geometry.bytes_per_token(2):,}", f"{served.max_context:,}", parsers, licence


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.unit.llm.registry_page --write")
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
