"""The live page: what a Prometheus answered, drawn and written; what it did not answer, said."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from services.migration.errors import EngineUnreachable
from services.monitor import live, live_page
from services.monitor.boards import BOARDS
from services.monitor.live import POINTS, SHOWN, Series
from services.monitor.live_plots import runs, styles, written
from services.monitor.panels import Kind

NOW, MINUTES = 1_795_262_400.0, 60.0
STEP = 60.0 * MINUTES / POINTS


class Prometheus(BaseHTTPRequestHandler):
    """Knows two series of everything but the GPU; one of them has a name that is none of ours."""

    asked: list[str] = []  # noqa: RUF012 (a server's handler is made anew for each request)
    error = False

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        self.asked.append(query)
        labels = ({"le": "0.5"}, {"le": "+Inf"}) if "by (le)" in query else ({}, {"provider": "<b>vllm</b>"})
        values = [[NOW - 5 * STEP + i * STEP, str(i)] for i in range(5)]
        rows = [] if "DCGM" in query else [{"metric": names, "values": values} for names in labels]
        body = json.dumps({"status": "error"} if self.error else {"data": {"result": rows}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def url() -> Iterator[str]:
    Prometheus.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_shows_every_panel_of_every_board(url: str) -> None:
    """Grafana's own queries; without data it says so; nothing is fetched, and what Prometheus says is escaped."""
    text = live_page.page(live.collect(url, now=NOW, minutes=MINUTES))
    exprs = {query.expr for board in BOARDS for panel in board.panels for query in panel.queries}

    assert len(set(Prometheus.asked)) >= len(exprs)
    assert not any("$" in query for query in Prometheus.asked)
    assert text.count("<figure") == sum(len(b.panels) * (3 if b.per_service else 1) for b in BOARDS)
    assert "No data; needs a GPU and dcgm-exporter." in text
    assert "&lt;b&gt;vllm&lt;/b&gt;" in text and "<b>vllm" not in text
    assert "<script" not in text and "src=" not in text


@pytest.mark.parametrize("error", [True, False])
def test_without_a_prometheus_it_says_what_to_give(url: str, error: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prometheus, "error", error)
    with pytest.raises(EngineUnreachable, match="--prometheus"):
        live.collect(url if error else "http://127.0.0.1:1", now=NOW, minutes=MINUTES)


def test_a_gap_is_a_gap() -> None:
    """No line over minutes in which nothing was measured."""
    points = ((0.0, 1.0), (10.0, 2.0), (20.0, 2.0), (90.0, 3.0))

    assert [len(run) for run in runs(Series("x", points), 100.0)] == [3, 1]


def test_lines_can_be_told_apart() -> None:
    """Engines keep their colour; what shares one differs in its stroke."""
    names = ["ollama p50", "ollama p95", "rag vllm", "notes vllm", "ner vllm", "connect"]
    found = styles([Series(name, ((0.0, 0.0),)) for name in names])

    assert len(set(found)) == len(names)
    assert {own for own, _ in found[2:5]} == {"--vllm"}
    assert found[:2] == [("--ollama", "--"), ("--ollama", "-")]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.25, "percentunit", "25 %"),
        (0.25, "s", "250 ms"),
        (3.0, "s", "3 s"),
        (2**31, "bytes", "2 GiB"),
        (7, "bytes", "7 B"),
    ],
)
def test_values_are_written_as_people_read_them(value: float, unit: str, said: str) -> None:
    assert written(value, unit) == said


def test_more_series_than_fit_are_counted() -> None:
    assert max(len(p.queries) for b in BOARDS for p in b.panels if p.kind is Kind.LINES) <= SHOWN
