"""Traces, metrics and logs of a process.

Traces follow W3C `traceparent`: the edge decides the sampling once, and only a sampled call makes a span, so that the
calls that are not looked at cost nothing. Metrics are OpenTelemetry instruments, shown to Prometheus. Logs are one JSON
object a line, with the trace and the tenant of the call they belong to.
"""

import logging
import random
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from chassis.settings import Settings

# Of the current call: `00-<trace id>-<span id>-<flags>`.
traceparent: ContextVar[str] = ContextVar("traceparent", default="")

_SAMPLED = "01"
_PARTS = 4
_TRACE_ID_LENGTH = 32
_SPAN_ID_LENGTH = 16


def set_up(process: str, settings: Settings) -> None:
    """Configure this process's logs, metrics and traces. Called once, before anything is served."""
    _set_up_logs(process, settings)
    resource = Resource.create(
        {
            "service.name": process,
            "service.version": settings.version,
            "deployment.environment.name": settings.environment,
        }
    )
    metrics.set_meter_provider(MeterProvider(resource=resource, metric_readers=[PrometheusMetricReader()]))
    if settings.otlp_endpoint:
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otlp_endpoint)))
        trace.set_tracer_provider(provider)


def _set_up_logs(process: str, settings: Settings) -> None:
    def add_call(_logger: object, _name: str, entry: structlog.typing.EventDict) -> structlog.typing.EventDict:
        entry["service"] = process
        if parent := traceparent.get():
            entry["trace_id"] = parent.split("-")[1]
        return entry

    json = settings.log_format == "json"
    # Plain tracebacks: the pretty ones render every local variable, which takes minutes where thousands of calls fail.
    plain = structlog.dev.plain_traceback
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(exception_formatter=plain)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_call,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    # What libraries say through the standard library comes out in the same form.
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def begin_trace(parent: str | None, sample_ratio: float) -> str:
    """The `traceparent` of a new request at the edge: the client's own when it is well formed, else a new one."""
    if parent and _well_formed(parent):
        return parent
    # Sampling is statistics; nobody gains by predicting it.
    flags = _SAMPLED if random.random() < sample_ratio else "00"  # noqa: S311
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags}"


def _well_formed(parent: str) -> bool:
    parts = parent.split("-")
    if (
        len(parts) != _PARTS
        or parts[0] != "00"
        or len(parts[1]) != _TRACE_ID_LENGTH
        or len(parts[2]) != _SPAN_ID_LENGTH
    ):
        return False
    try:
        return int(parts[1], 16) > 0 and int(parts[2], 16) > 0 and int(parts[3], 16) >= 0
    except ValueError:
        return False


def trace_id() -> str:
    """The trace id of the current call in hex; empty outside of one."""
    parent = traceparent.get()
    return parent.split("-")[1] if parent else ""


@contextmanager
def span(name: str, kind: SpanKind, **attributes: str | int) -> Iterator[None]:
    """A span of the current call, if it is sampled; what is called inside becomes its child."""
    parent = traceparent.get()
    if not parent.endswith(_SAMPLED):
        yield
        return
    _, trace_hex, span_hex, _flags = parent.split("-")
    remote = SpanContext(int(trace_hex, 16), int(span_hex, 16), is_remote=True, trace_flags=TraceFlags(1))
    context = trace.set_span_in_context(NonRecordingSpan(remote))
    tracer = trace.get_tracer("switchyard")
    with tracer.start_as_current_span(name, context=context, kind=kind, attributes=attributes) as current:
        own = current.get_span_context()
        own_id = own.span_id or int(span_hex, 16)
        token = traceparent.set(f"00-{trace_hex}-{own_id:016x}-{_SAMPLED}")
        try:
            yield
        finally:
            traceparent.reset(token)


def meter() -> metrics.Meter:
    """Where instruments come from."""
    return metrics.get_meter("switchyard")
