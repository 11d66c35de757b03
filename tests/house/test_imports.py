"""Imports point one way: the table of `design.md`, "The house", held to by every file of services/ and bench/."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.sources import imported, imports, module_name, python_files

VALUES = ("services.llm.types", "services.llm.errors", "services.llm.spaces")
LEAVES = ("services.settings", *VALUES, "services.llm.registry")
WORDS = (*LEAVES, "services.llm.schemas", "services.llm.documents", "services.llm.sendable", "services.llm.mapping")
SERVICE = ("services.web", "services.pages", "services.store", "services.admin", "services.llm")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "services.variable": (),
    "services.variables_compose": ("services.variable",),
    "services.variables": ("services.variable", "services.variables_compose"),
    "services.addresses": (),
    "services.telemetry": (),
    "services.secret_files": (),
    "services.api_keys": ("services.secret_files",),
    "services.embedding": ("services.addresses",),
    "services.uploads": (),
    "services.store_urls": ("services.secret_files",),
    "services.after_save": (),
    "services.may_record": (),
    "services.name_candidates": (),
    "services.settings": (
        "services.after_save",
        "services.may_record",
        "services.name_candidates",
        "services.variables",
        "services.api_keys",
        "services.embedding",
        "services.store_urls",
        "services.uploads",
        "services.addresses",
        "services.secret_files",
        "services.telemetry",
    ),
    "services.sample": (),
    "services.llm.errors": (),
    "services.llm.registry": (*VALUES, "services.llm.registry_weights"),
    "services.llm.registry_weights": (),
    "services.llm.registry_gpus": ("services.llm.registry",),
    "services.llm.sizing": ("services.llm.registry", "services.llm.registry_gpus", "services.llm.registry_weights"),
    "services.llm.types": ("services.llm.errors",),
    "services.llm.spaces": VALUES,
    "services.llm.schemas": LEAVES,
    "services.llm.documents": WORDS,
    "services.llm.sendable": VALUES,
    "services.llm.mapping": WORDS,
    "services.llm.cutting": VALUES,
    "services.llm.providers": (*WORDS, "services.llm.cutting"),
    "services.llm": ("services.llm", "services.settings", "services.embedding"),
    "services.recording": (),
    "services.store": (),
    "services.web": (
        "services.web",
        "services.store",
        "services.recording",
        "services.llm",
        "services.settings",
        "services.telemetry",
        "services.api_keys",
    ),
    "services.pages": ("services.pages", "services.web", "services.llm", "services.settings"),
    "services.admin": ("services.web", "services.llm", "services.settings"),
    **{f"services.{s}": (f"services.{s}", *SERVICE) for s in ("rag", "notes", "ner")},
    **{f"services.{s}.app": (f"services.{s}", *SERVICE, "services.settings") for s in ("rag", "notes", "ner")},
    "services.migration": (
        "services.migration",
        "services.recording",
        "services.llm",
        "services.settings",
        "services.api_keys",
    ),
    "services.monitor": ("services.monitor", "services.migration", "services.llm", "services.settings"),
    "services.evaluation": (
        "services.evaluation",
        "services.rag",
        "services.ner",
        "services.migration.errors",
        "services.migration.quality",
        "services.migration.quality_names",
        "services.migration.workload",
        "services.web",
        "services.store",
        "services.llm",
        "services.settings",
        "services.embedding",
    ),
    "services.evaluation.peers": (),
    "services.faults": ("services.faults", "services.llm", "services.settings"),
    "services.faults.peers": (),
    "services.stack": ("services.stack", "services.settings", "services.llm.registry"),
    "services.agreement": ("services.agreement",),
    "services.agreement.vllm_client": (),
    "services.overhead": ("services.overhead", "services.llm", "services.settings"),
    "services.cli": ("services",),
    "bench": ("bench", "services.llm.registry", "services.migration.verdict"),
}
"""A room is the longest name here that a module's name begins with; it may import what its row begins with.

Rooms are also allowed `services` itself where the import names a room, as in `from services import admin`.
"""


def begins(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def room_of(module: str) -> str | None:
    """The command line is several files, `cli*.py`, and one room."""
    if module.startswith("services.cli"):
        return "services.cli"
    rooms = [room for room in MAY_IMPORT if begins(module, room)]
    return max(rooms, key=len, default=None)


def ours(name: str) -> bool:
    return begins(name, "services") or begins(name, "bench")


@pytest.mark.parametrize("path", python_files(), ids=str)
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    """A new room needs a row in the table above, and a reason in the design."""
    module = module_name(path)
    if module == "services":
        assert not [name for name in imports(path) if ours(name)]
        return
    room = room_of(module)
    assert room, f"{path} is in no room; add one to MAY_IMPORT"
    allowed = (room, *MAY_IMPORT[room]) if room not in LEAVES else MAY_IMPORT[room]
    wrong = [name for name in imports(path) if ours(name) and not any(begins(name, a) for a in allowed)]
    assert not wrong, f"{path} ({room}) imports {', '.join(wrong)}"


@pytest.mark.parametrize("path", python_files("services"), ids=str)
def test_only_bootstraps_choose_adapters(path: Path) -> None:
    """Providers are built in one place of the client's room, which only the apps call."""
    built_by = ("services.llm.build", "services.llm.providers")
    if path.name == "app.py" or begins(module_name(path), "services.llm"):
        return
    assert not [name for name in imports(path) if any(begins(name, b) for b in built_by)]


@pytest.mark.parametrize(
    "line", ["import services.web", "from services import web", "from ..web import room", "from .. import web"]
)
def test_an_import_is_seen_in_every_shape_that_python_allows(line: str) -> None:
    """Inside a function as well."""
    found = imported(ast.parse(f"def f():\n    {line}\n"), ["services", "migration"])
    assert any(begins(name, "services.web") for name in found)
