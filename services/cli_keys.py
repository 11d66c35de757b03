"""`cutover keys`: makes API keys, lists and revokes them. A key is shown once; services take a change up at once."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result
from services.settings import SERVICES
from services.web import key_file
from services.web.keys import NAME, Key, KeysError, check_rate, digest, new_secret
from services.web.workspace import DEFAULT


def options(verb: argparse.ArgumentParser) -> None:
    """What `keys` takes."""
    verb.add_argument("act", choices=("add", "list", "revoke"))
    verb.add_argument("name", nargs="?", help="of the key, for add and revoke")
    verb.add_argument("--workspace", default=DEFAULT, help="what its holder sees and writes (default: %(default)s)")
    verb.add_argument(
        "--service", action="append", choices=SERVICES, help="the only service that it opens; may be given again"
    )
    verb.add_argument("--requests-per-s", type=float, help="most requests a second (default: no limit)")
    verb.add_argument("--burst", type=int, default=1, help="how many of them at once (default: %(default)s)")


def missing(asked: argparse.Namespace) -> str | None:
    """What the arguments lack."""
    return f"keys {asked.act} needs the key's name" if asked.act != "list" and not asked.name else None


def keys(call: Call) -> Result:
    """One act. Raises `KeysError`."""
    match call.arguments.act:
        case "add":
            return _add(call)
        case "revoke":
            return _revoke(call)
        case _:
            return _list(call)


def _add(call: Call) -> Result:
    asked, file, secret = call.arguments, call.settings.api_keys.file, new_secret()
    made = Key(
        name=_name(asked.name),
        digest=digest(secret),
        workspace=_name(asked.workspace),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        services=tuple(asked.service or ()),
        requests_per_s=asked.requests_per_s,
        burst=asked.burst,
    )
    try:
        check_rate(made.requests_per_s, made.burst)
    except ValueError as exc:
        raise KeysError(f"{exc}; use 0.001 to 1000000 a second and a burst of 1 or more") from exc
    is_first = not file.exists()
    key_file.change(file, lambda before: [*_without(before, made.name, wanted=False), made])
    shown = [
        Text(secret),
        Text(f"the key {made.name} of workspace {made.workspace}, shown only now; {file} keeps its hash", style="dim"),
    ]
    if is_first:
        shown.append(
            Text("from now on every /v1 request needs a key; ours send CUTOVER_API_KEY (docs/API.md)", style="yellow")
        )
    return Result(document={**_told(made), "key": secret}, shown=shown)


def _revoke(call: Call) -> Result:
    name, file = call.arguments.name, call.settings.api_keys.file
    key_file.change(file, lambda before: _without(before, name, wanted=True))
    return Result(document={"revoked": name}, shown=[Text(f"revoked {name}; services refuse it from now on")])


def _list(call: Call) -> Result:
    found = key_file.read(call.settings.api_keys.file)
    table = Table("name", "workspace", "services", "requests/s", "burst", "made", box=None)
    for key in found:
        rate = "" if key.requests_per_s is None else f"{key.requests_per_s:g}"
        burst = str(key.burst) if rate else ""
        table.add_row(key.name, key.workspace, ", ".join(key.services) or "all", rate, burst, key.created_at)
    return Result(document={"keys": [_told(k) for k in found]}, shown=[table])


def _without(keys: tuple[Key, ...], name: str, *, wanted: bool) -> tuple[Key, ...]:
    """`keys` without the one of that name. Raises `KeysError` where it is there and not `wanted`, or the reverse."""
    left = tuple(k for k in keys if k.name != name)
    if (len(left) < len(keys)) != wanted:
        known = ", ".join(k.name for k in keys) or "none"
        step = f"there are: {known}" if wanted else f"choose another name, or `cutover keys revoke {name}` first"
        raise KeysError(f"there is {'no' if wanted else 'already a'} key {name!r}; {step}")
    return left


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise KeysError(f"{text!r} is no name; use letters, digits and . _ -, at most 64, a letter or digit first")
    return text


def _told(key: Key) -> dict[str, object]:
    """What may be shown of a key: not even its hash."""
    told = asdict(key)
    del told["digest"]
    return told
