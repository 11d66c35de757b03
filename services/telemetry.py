"""The settings of logs, traces and prices, parsed. `services.settings` reads them with all others."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


class LogFormat(enum.StrEnum):
    """JSON lines for machines, bare text for a terminal."""

    JSON = "json"
    TEXT = "text"


class LogLevel(enum.StrEnum):
    """The least that is written of what Cutover itself says."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


SAMPLERS = (
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
    *("always_on", "always_off", "traceidratio"),
)
"""OpenTelemetry's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What is told to whom. `otlp_url` is empty where nothing is traced; `trace_ratio` from 0 to 1."""

    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.JSON
    log_prompts: bool = False
    otlp_url: str = ""
    trace_ratio: float = 1.0
    trace_parent_based: bool = True
    prices: Path | None = None


def parse(values: Mapping[str, str], problems: list[str]) -> Telemetry:
    """From the values of every variable. What cannot be used is added to `problems`, a sentence each."""
    sampler = _one_of(values, "OTEL_TRACES_SAMPLER", SAMPLERS, problems)
    if values["LOG_PROMPTS"] not in ("0", "1"):
        problems.append(f"LOG_PROMPTS={values['LOG_PROMPTS']!r} is neither 1 nor 0")
    return Telemetry(
        log_level=LogLevel(_one_of(values, "LOG_LEVEL", tuple(LogLevel), problems)),
        log_format=LogFormat(_one_of(values, "LOG_FORMAT", tuple(LogFormat), problems)),
        log_prompts=values["LOG_PROMPTS"] == "1",
        otlp_url=_url(values, problems),
        trace_ratio=_ratio(sampler, values, problems),
        trace_parent_based=sampler.startswith("parentbased_"),
        prices=Path(values["LLM_PRICES"]).expanduser().absolute() if values["LLM_PRICES"] else None,
    )


def _one_of(values: Mapping[str, str], name: str, known: tuple[str, ...], problems: list[str]) -> str:
    text = values[name].lower()
    if text in known:
        return text
    problems.append(f"{name}={values[name]!r} is not known; use one of {', '.join(known)}")
    return known[0]


def _url(values: Mapping[str, str], problems: list[str]) -> str:
    name = "OTEL_EXPORTER_OTLP_ENDPOINT"
    text = values[name].rstrip("/")
    try:
        parts = urlsplit(text)
        usable = not text or (parts.scheme in ("http", "https") and bool(parts.hostname))
    except ValueError:
        usable = False
    if not usable:
        problems.append(f"{name} is not a URL; write it like http://127.0.0.1:4318 (OTLP over HTTP)")
        return ""
    return text


def _ratio(sampler: str, values: Mapping[str, str], problems: list[str]) -> float:
    if sampler.endswith("always_on"):
        return 1.0
    if sampler.endswith("always_off"):
        return 0.0
    text = values["OTEL_TRACES_SAMPLER_ARG"]
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if 0 <= ratio <= 1:  # also refuses nan
        return ratio
    problems.append(f"OTEL_TRACES_SAMPLER_ARG={text!r} is not a share; use a number from 0 to 1")
    return 1.0
