"""A collector of OTLP over HTTP, in a thread: takes what the real exporter sends and decodes it. For tests."""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span as it came. Ids in hex; times in nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    error: bool
    attributes: dict[str, Any]


class Collector:
    """Use as `with`. `url` is what OTEL_EXPORTER_OTLP_ENDPOINT would be."""

    def __init__(self) -> None:
        self.raw = b""
        self.all: list[Span] = []
        self.resources: set[str] = set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                owner.take(self.path, gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        self.raw += body
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = [a.value.string_value for a in sent.resource.attributes if a.key == "service.name"]
            self.resources.update(names)
            self.all += [_span(span) for scope in sent.scope_spans for span in scope.spans]

    def spans(self, *names: str) -> list[Span]:
        """All that came: the request's first, then its attempts as they began. Fails unless they are these."""
        children = {s.parent for s in self.all}
        found = sorted(self.all, key=lambda s: (s.id not in children, s.start))
        assert [s.name for s in found] == list(names)
        return found


def _span(span: Any) -> Span:
    return Span(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        error=span.status.code == 2,
        attributes={a.key: _value(a.value) for a in span.attributes},
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(v) for v in value.array_value.values] if kind == "array_value" else getattr(value, kind)
