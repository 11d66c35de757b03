"""The settings of recording, parsed: which service's requests may be recorded. `services.settings` reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_SAID = ("", "asked", "never")


def parse(values: Mapping[str, str], services: Iterable[str], problems: list[str]) -> dict[str, bool]:
    """By service, from the values of every variable. `never` wins wherever it stands; problems go to `problems`."""
    return {service: _may(values, service, problems) for service in services}


def _may(values: Mapping[str, str], service: str, problems: list[str]) -> bool:
    said = {name: values[name] for name in ("RECORD", f"{service.upper()}_RECORD")}
    wrong = [f"{name}={text!r} is neither asked nor never" for name, text in said.items() if text not in _SAID]
    problems += [problem for problem in wrong if problem not in problems]
    return "never" not in said.values()
