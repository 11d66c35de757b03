"""The boards: made by the generator, asked for in PromQL that parses, of metrics that exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.monitor.boards import BOARDS
from services.monitor.panels import Board, Need, Panel, plain
from tests.recorded.pages import SOURCES, labels
from tests.unit.monitor.tools import MONITORING, asked, needs_promtool, selectors

SCRAPED = {"job", "instance"}
DERIVED = {"service:llm_error_budget_left:ratio30d"}
VALUES = {"service": "rag", "__rate_interval": "1m", "__range": "1h", "__interval": "1m"}
PANELS = [pytest.param(board, panel, id=f"{board.uid}: {panel.title}") for board in BOARDS for panel in board.panels]

each_panel = pytest.mark.parametrize(("board", "panel"), PANELS)


def recorded() -> dict[str, frozenset[str]]:
    """Every series name on any recorded page, with its labels."""
    found: dict[str, frozenset[str]] = {}
    for source in (*SOURCES, "dcgm"):
        for name, there in labels(source).items():
            found[name] = found.get(name, frozenset()) | there
    return found


@each_panel
def test_each_metric_and_label_exists(board: Board, panel: Panel) -> None:
    """An engine's upgrade renames metrics and a board goes blank in silence; here it fails."""
    known = recorded()
    for query in panel.queries:
        asked_for = selectors(query.expr)
        assert asked_for or query.expr == "vector(1)"
        for name, matched in asked_for:
            if name not in DERIVED:
                assert name in known, f"{name} is on no recorded page"
                assert matched <= known[name] | SCRAPED, f"{name} has no label {matched - known[name]}"


@each_panel
def test_a_panel_says_what_it_shows(board: Board, panel: Panel) -> None:
    assert panel.says.endswith((".", "?"))
    assert 1 <= len(panel.queries) <= 8
    assert all(query.legend for query in panel.queries)
    assert ("DCGM" in panel.queries[0].expr) == (panel.need is Need.GPU)


@needs_promtool
def test_every_expression_parses(tmp_path: Path) -> None:
    """By Prometheus' own parser, all at once, as rules."""
    exprs = [plain(query.expr, VALUES) for board in BOARDS for panel in board.panels for query in panel.queries]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = asked("promtool", "check", "rules", str(file))
    broken = asked("promtool", "check", "rules", str(_with_a_mistake(file)))

    assert (done.returncode, f"{len(exprs)} rules found" in done.stdout) == (0, True), done.stderr
    assert broken.returncode != 0


def _with_a_mistake(file: Path) -> Path:
    other = file.with_name("broken.yml")
    other.write_text(file.read_text().replace("sum by", "sum by by", 1))
    return other


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.uid)
def test_the_generator_gives_the_file_that_is_checked_in(board: Board) -> None:
    """Boards are not edited by hand, nor in Grafana."""
    generate = pytest.importorskip("monitoring.generate", reason="grafana-foundation-sdk is a development requirement")
    path = MONITORING / "dashboards" / f"{board.uid}.json"

    assert path.read_text() == generate.rendered(board), "run `python -m monitoring.generate`"


@pytest.mark.parametrize("path", sorted((MONITORING / "dashboards").glob("*.json")), ids=lambda p: p.stem)
def test_grafana_can_tell_panels_and_queries_apart(path: Path) -> None:
    """The SDK leaves ids empty unless it is told."""
    document = json.loads(path.read_text())
    ids = [panel["id"] for panel in document["panels"]]
    refs = [[target["refId"] for target in panel.get("targets", [])] for panel in document["panels"]]

    assert path.stem in {board.uid for board in BOARDS}
    assert len(set(ids)) == len(ids) and all(ids)
    assert all(len(set(found)) == len(found) and all(found) for found in refs)
    assert document["schemaVersion"] == 41
    assert all(p["datasource"]["uid"] == "${datasource}" for p in document["panels"] if p["type"] != "row")


def test_a_variable_without_a_value_is_refused() -> None:
    with pytest.raises(KeyError, match="unknown"):
        plain("rate(x[$unknown])", VALUES)
