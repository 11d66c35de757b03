"""`python -m monitoring.generate`: renders `services/monitor/boards.py` as Grafana's JSON into `monitoring/dashboards`.

With `--check` nothing is written; the exit code is 1 where a file is not what it would be. The SDK's gaps are filled
here: it gives panels no id and targets no refId unless told (`reference/observability.md` section 7).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueTextMode, LegendDisplayMode, LegendPlacement, VisibilityMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from services.monitor.boards import BOARDS
from services.monitor.panels import Board, Kind, Need, Panel

FOLDER = Path(__file__).with_name("dashboards")
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
ROW_ID = 100
CHANGES = "changes(llm_migration_stage_since_timestamp_seconds[$__interval]) > 0"


def rendered(board: Board) -> str:
    """The board as Grafana reads it; the same bytes each time."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags(["cutover"])
        .readonly()
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .annotation(
            dashboard.AnnotationQuery().name("moves").datasource(SOURCE).enable(True).icon_color("purple").expr(CHANGES)
        )
    )
    if board.per_service:
        made = made.with_variable(_services()).with_row(dashboard.Row("$service").id(ROW_ID).repeat("service"))
    for number, panel in enumerate(board.panels, start=1):
        made = made.with_panel(_panel(number, panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _services() -> Any:
    """One row each, all of them at first."""
    chosen = VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        dashboard.QueryVariable("service")
        .label("service")
        .datasource(SOURCE)
        .query("label_values(llm_requests_total, service)")
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(chosen)
    )


def _panel(number: int, panel: Panel) -> Any:
    says = f"{panel.says} Needs {panel.need}." if panel.need is not Need.NOTHING else panel.says
    made = (
        _shape(panel)
        .id(number)
        .title(panel.title)
        .description(says)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(HEIGHT)
    )
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend or "__auto").ref_id(letter)
        made = made.with_target(_asked(panel.kind, target))
    return made


def _asked(kind: Kind, target: Any) -> Any:
    """The newest value for numbers and tables, the whole range else."""
    match kind:
        case Kind.NUMBERS:
            return target.instant()
        case Kind.TABLE:
            return target.instant().format(PromQueryFormat.TIME_SERIES)
        case Kind.HEAT:
            return target.range().format(PromQueryFormat.HEATMAP)
        case Kind.LINES | Kind.STATES:
            return target.range()


def _shape(panel: Panel) -> Any:
    match panel.kind:
        case Kind.LINES:
            legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
            return timeseries.Panel().legend(legend.show_legend(True)).axis_soft_min(0).line_width(1).fill_opacity(5)
        case Kind.NUMBERS:
            return stat.Panel().text_mode(BigValueTextMode.VALUE_AND_NAME).reduce_options(_last())
        case Kind.STATES:
            return statetimeline.Panel().show_value(VisibilityMode.NEVER).merge_values(True)
        case Kind.TABLE:
            rows = {"reducers": ["lastNotNull"], "mode": "seriesToRows"}
            return table.Panel().with_transformation(DataTransformerConfig(id_val="reduce", options=rows))
        case Kind.HEAT:
            return heatmap.Panel().calculate(False)


def _last() -> Any:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def main(arguments: list[str]) -> int:
    """Write the boards, or say which are not what they would be."""
    wrong = []
    for board in BOARDS:
        path, text = FOLDER / f"{board.uid}.json", rendered(board)
        if arguments == ["--check"]:
            wrong += [path.name] if not path.exists() or path.read_text() != text else []
        else:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text)
    if wrong:
        sys.stderr.write(f"not as generated: {', '.join(wrong)}; run `python -m monitoring.generate`\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
