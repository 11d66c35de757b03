"""Spans of each request and its attempts, sent by OTLP over HTTP. Imported only where tracing is on; needs its extra.

Attributes are those of OpenTelemetry's GenAI conventions, as far as they go; ours begin with `cutover.`. Never what
people wrote: no prompt, no answer, no text of an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from services.llm.errors import ErrorType
from services.llm.hooks import RequestEvent
from services.llm.tracing import Context
from services.llm.types import Attempt

LOG = logging.getLogger("cutover.llm.tracing")
NS = 1_000_000_000
NO_FAULT = (ErrorType.NONE, ErrorType.CANCELLED)
"""Whoever leaves has not failed; docs/METRICS.md counts alike."""


class Telling(SpanExporter):
    """`inner`, with one log line when its collector stops answering and one when it answers again."""

    def __init__(self, inner: SpanExporter, *, where: str) -> None:
        self._inner = inner
        self._where = where
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failing:
            LOG.warning("tracing.collector_lost %s takes no spans; they are dropped, requests go on", self._where)
        if self._failing and not failed:
            LOG.warning("tracing.collector_back %s", self._where)
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class Spans:
    """Give `observe` to the client as a hook and `aclose` to its `on_close`. `endpoint` is the collector's base URL."""

    def __init__(self, *, service: str, endpoint: str, now_ns: Callable[[], int] = time.time_ns) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it complains per batch; `Telling` does it once
        session = requests.Session()
        session.trust_env = False  # spans go where the settings say, and nowhere else
        where = f"{endpoint}/v1/traces"
        self._processor = BatchSpanProcessor(Telling(OTLPSpanExporter(endpoint=where, session=session), where=where))
        self._resource = Resource.create({"service.name": f"cutover-{service}"})
        self._scope = InstrumentationScope("cutover.llm")
        self._now_ns = now_ns

    def observe(self, event: RequestEvent) -> None:
        """Hand the spans of one ended request to the thread that sends them. Never waits."""
        if event.trace is None or not event.trace.sampled:
            return
        end = self._now_ns()
        start = end - _ns(event.duration_s)
        root = event.trace
        for attempt in event.attempts:
            began = start + _ns(attempt.started_s)
            own = Context(trace_id=root.trace_id, span_id=attempt.span_id, parent_id=root.span_id)
            name = f"{event.operation} {attempt.model}"
            ended = min(began + _ns(attempt.duration_s), end)
            self._send(own, name, SpanKind.CLIENT, began, ended, attempt_attributes(event, attempt))
        name = f"{event.operation} {event.alias}"
        self._send(root, name, SpanKind.INTERNAL, start, end, request_attributes(event), _skips(event, start))

    async def aclose(self) -> None:
        """Send what is left, as far as a collector takes it."""
        await asyncio.to_thread(self._processor.shutdown)

    def _send(
        self,
        context: Context,
        name: str,
        kind: SpanKind,
        start: int,
        end: int,
        attributes: dict[str, Any],
        events: Sequence[Event] = (),
    ) -> None:
        error = attributes.get("error.type")
        status = Status(StatusCode.ERROR, error) if error and error not in NO_FAULT else Status()
        parent = _span_context(context.trace_id, context.parent_id, is_remote=True) if context.parent_id else None
        span = ReadableSpan(
            name=name,
            context=_span_context(context.trace_id, context.span_id, is_remote=False),
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            events=events,
            kind=kind,
            status=status,
            start_time=start,
            end_time=end,
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)


def request_attributes(event: RequestEvent) -> dict[str, Any]:
    """No tokens: the attempts have them, and a backend that sums would count them twice."""
    return _known(
        {
            "gen_ai.operation.name": str(event.operation),
            "gen_ai.request.model": event.alias,
            "gen_ai.request.stream": event.stream,
            "gen_ai.provider.name": event.provider or None,
            "gen_ai.response.time_to_first_chunk": event.first_token_s if event.stream else None,
            "error.type": event.error_type if event.error_type != ErrorType.NONE else None,
            "cutover.service": event.service,
            "cutover.request.id": event.request_id,
            "cutover.route": event.route,
            "cutover.result": str(event.result),
            "cutover.outcome": str(event.outcome) if event.outcome else None,
            "cutover.fallback.reason": event.fallback_reason,
            "cutover.queued_s": event.queued_s,
        }
    )


def attempt_attributes(event: RequestEvent, attempt: Attempt) -> dict[str, Any]:
    """One call of one provider."""
    error, usage = attempt.error, attempt.usage
    return _known(
        {
            "gen_ai.operation.name": str(event.operation),
            "gen_ai.provider.name": attempt.provider,
            "gen_ai.request.model": attempt.model,
            "gen_ai.request.stream": event.stream,
            "gen_ai.response.finish_reasons": (str(attempt.finish),) if attempt.finish else None,
            "gen_ai.response.time_to_first_chunk": attempt.first_token_s if event.stream else None,
            "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
            "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
            "error.type": str(error.type) if error else None,
            "http.response.status_code": error.status if error else None,
            "cutover.repair": True if attempt.repair else None,
        }
    )


def _skips(event: RequestEvent, at: int) -> tuple[Event, ...]:
    return tuple(
        Event("cutover.provider_skipped", {"gen_ai.provider.name": s.provider, "cutover.reason": s.reason}, at)
        for s in event.skipped
    )


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _ns(seconds: float) -> int:
    return int(seconds * NS)


def _span_context(trace_id: str, span_id: str, *, is_remote: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=is_remote, trace_flags=flags)
