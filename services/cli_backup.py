"""`cutover backup SERVICE --to FILE`: a copy of a service's store, made while the service runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.text import Text

from services.cli_commands import Call, Result
from services.store.backup import backup


def options(verb: argparse.ArgumentParser) -> None:
    """What `backup` takes."""
    verb.add_argument("--to", required=True, type=Path, metavar="FILE", help="where the copy goes; must not exist yet")


def backed_up(call: Call) -> Result:
    """Copy and look the copy through. Raises `StoreError`."""
    service, target = call.arguments.service, call.arguments.to.expanduser().absolute()
    made = backup(call.settings.stores.url(service), service, target)
    told = {"service": service, "path": str(made.path), "kind": made.kind, "bytes": made.bytes}
    return Result(document=told, shown=[Text(f"{made.path} holds all of {service}: {made.kind}, {made.bytes:,} bytes")])
