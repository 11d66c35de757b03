"""`cutover record SERVICE`: capture real requests for a while, look at them, make a recipe of them, delete them."""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from services import cli_commands as commands
from services.cli_commands import Call, Result
from services.migration import recording, recording_recipe, recording_review
from services.migration.errors import RecordingError, WorkloadError
from services.recording.account import Account
from services.recording.ticket import MAX_MINUTES, MAX_REQUESTS, Ticket

REQUESTS, MINUTES = 200, 60.0
SHOWN = 5
NOTHING, INTERRUPTED = 2, 130


def options(verb: argparse.ArgumentParser) -> None:
    """What `record` takes. Without one of the acts it records."""
    verb.add_argument(
        "--requests", type=int, default=REQUESTS, help=f"end after so many, 1 to {MAX_REQUESTS} (default: %(default)s)"
    )
    verb.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help=f"end after so long, to {MAX_MINUTES} (default: %(default)s)",
    )
    verb.add_argument(
        "--share", type=float, default=1.0, help="take each request with this chance, above 0 to 1 (default: all)"
    )
    verb.add_argument(
        "--redact", metavar="FILE", help="patterns (RE2, one a line) that are taken out as well: names, project codes"
    )
    verb.add_argument(
        "--from", dest="reviewed", metavar="FILE", help="for --recipe: a reviewed copy instead of the last recording"
    )
    acts = verb.add_mutually_exclusive_group()
    acts.add_argument("--stop", action="store_true", help="end a recording that another command began")
    acts.add_argument("--show", action="store_true", help="where recordings are, how many, and the first requests")
    acts.add_argument("--delete", action="store_true", help="end it, and delete every recording of this service")
    acts.add_argument("--review", metavar="FILE", help="write a copy of the last recording to edit before it is used")
    acts.add_argument("--recipe", metavar="FILE", help="write a recipe: the shipped one and the recorded requests")


def record(call: Call) -> Result:
    """One act, or a recording from its begin to its end."""
    asked = call.arguments
    if asked.reviewed and not asked.recipe:
        raise WorkloadError("--from goes with --recipe; `cutover doctor SERVICE --from FILE` examines a reviewed copy")
    if asked.stop:
        return _stop(call)
    if asked.show:
        return _show(call)
    if asked.delete:
        return _delete(call)
    if asked.review:
        return _review(call)
    return _recipe(call) if asked.recipe else _record(call)


def _record(call: Call) -> Result:
    service, state_dir = call.arguments.service, call.settings.state_dir
    own = _patterns(call)
    asked = recording.ticket(
        service, by=_who(), now=datetime.now(UTC), minutes=call.arguments.minutes, requests=call.arguments.requests,
        share=call.arguments.share, own=own,
    )  # fmt: skip
    _may(call, recording.status(call.settings.service_url(service), call.token(), service))
    recording.ask(state_dir, asked, now=datetime.now(UTC))
    step = f"record {service}"
    call.display.begin(step, f"up to {asked.requests} requests, until {asked.until}; Ctrl-C ends it and keeps them")
    code = 0
    try:
        if recording.begun(state_dir, asked) is None:
            raise _unseen(call)
        recording.follow(state_dir, asked, on_progress=lambda a: call.display.note(step, _progress(a)))
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        recording.withdraw(state_dir, service, asked.id)
    found = recording.ended(state_dir, asked)
    call.display.end(step, _progress(found) if found else "the service gave no account")
    return _told(call, asked, found, code)


def _may(call: Call, status: Mapping[str, Any]) -> None:
    service = call.arguments.service
    if not status["allowed"] or not call.settings.may_record[service]:
        raise RecordingError(
            f"{service} may not be recorded: RECORD or {service.upper()}_RECORD is `never`, which always wins; whoever "
            "runs the service decides that, and restarts it after a change"
        )


def _unseen(call: Call) -> RecordingError:
    """Why the service answers and does not begin, as it says itself."""
    service, mine = call.arguments.service, str(call.settings.state_dir)
    said = recording.status(call.settings.service_url(service), call.token(), service)
    if said["problem"]:
        return RecordingError(f"{service} cannot record: {said['problem']}; its state folder is {said['state_dir']}")
    return RecordingError(
        f"{service} answers and does not see the ticket: it watches {said['state_dir']}, this command writes to "
        f"{mine}; set CUTOVER_STATE_DIR so that both see one folder, and try again"
    )


def _told(call: Call, asked: Ticket, found: Account | None, code: int) -> Result:
    service, path = asked.service, recording.stored_at(call.settings.state_dir, asked)
    count = found.recorded if found else 0
    document = {"service": service, "id": asked.id, "file": str(path), "account": asdict(found) if found else None}
    if not count:
        said = f"nothing was recorded: {_left_out(found) or 'no request came to the endpoint that is recorded'}"
        return Result(document=document, shown=[Text(said)], code=code or NOTHING)
    shown = [
        Text(f"{path}: {_progress(found)}" if found else str(path)),
        _warning(),
        Text(f"next: `cutover record {service} --show`, then --review FILE to edit, or --recipe FILE to gate on it"),
    ]
    return Result(document=document, shown=shown, code=code)


def _stop(call: Call) -> Result:
    service = call.arguments.service
    stopped = recording.withdraw(call.settings.state_dir, service)
    said = "the service ends the recording within a second; what was recorded is kept" if stopped else "already stopped"
    return Result(document={"service": service, "stopped": stopped}, shown=[Text(f"{service}: {said}")])


def _show(call: Call) -> Result:
    service, found = call.arguments.service, recording.recordings(call.settings.state_dir, call.arguments.service)
    requests = recording.read(found[-1].path) if found else []
    first = [asdict(r) for r in requests[:SHOWN]]
    rows = [
        {"id": r.id, "file": str(r.path), "account": asdict(r.account) if r.account else None} for r in found
    ]  # fmt: skip
    document = {"service": service, "recordings": rows, "requests": len(requests), "first": first}
    if not found:
        said = f"nothing of {service} is recorded; `cutover record {service}` does"
        return Result(document=document, shown=[Text(said)], code=NOTHING)
    lines = [f"{r.path}: {_progress(r.account) if r.account else 'no account'}" for r in found]
    shown = [*map(Text, lines), *(Text(json.dumps(f, ensure_ascii=False)) for f in first)]
    return Result(document=document, shown=[*shown, _warning()])


def _delete(call: Call) -> Result:
    service, state_dir = call.arguments.service, call.settings.state_dir
    if recording.withdraw(state_dir, service):
        for held in recording.recordings(state_dir, service)[-1:]:
            recording.closed(held)
    gone = [str(path) for path in recording.delete(state_dir, service)]
    said = f"deleted: {', '.join(gone)}" if gone else f"already gone: nothing of {service} is recorded"
    return Result(document={"service": service, "deleted": gone}, shown=[Text(said)])


def _review(call: Call) -> Result:
    service, target = call.arguments.service, Path(call.arguments.review)
    requests = recording.read(recording.latest(call.settings.state_dir, service).path)
    replaced = recording_review.copy(target, requests, _patterns(call))
    names = recording_review.candidates(recording.read(target))
    document = {"service": service, "review": str(target), "requests": len(requests), "replaced": replaced,
                "may_be_names": [{"text": text, "times": times} for text, times in names]}  # fmt: skip
    shown = [
        Text(f"{target}: {len(requests)} requests; delete lines, replace names, keep each line one JSON object"),
        Text(f"may be names: {', '.join(text for text, _ in names) or 'none found'}"),
        _warning(),
        Text(f"next: `cutover record {service} --recipe OUT.toml --from {target}`"),
    ]
    return Result(document=document, shown=shown)


def _recipe(call: Call) -> Result:
    service, target = call.arguments.service, Path(call.arguments.recipe)
    last = None if call.arguments.reviewed else recording.latest(call.settings.state_dir, service)
    source = last.path if last else Path(call.arguments.reviewed)
    account = last.account if last else _account_of(call)
    requests = recording.read(source)
    items = recording_recipe.chosen(requests)
    if not items:
        raise RecordingError(f"{source} holds no request; record some first")
    shipped = commands.recipe(service).read_text(encoding="utf-8")
    made = recording_recipe.text(shipped, items, account, source=source.name)
    total = len(recording_recipe.write(target, made, service=service).items)
    document = {"service": service, "recipe": str(target), "recorded": len(requests), "own_items": len(items),
                "items": total}  # fmt: skip
    shown = [
        Text(f"{target}: {total} items, {len(items)} of them your own (of {len(requests)} recorded)"),
        Text(f"next: `cutover gate {service} --recipe {target}`; its verdict is of this recipe, migrate with it too"),
    ]
    return Result(document=document, shown=shown)


def _account_of(call: Call) -> Account | None:
    """What was measured with the recording that a reviewed copy is most likely of."""
    found = recording.recordings(call.settings.state_dir, call.arguments.service)
    return found[-1].account if found else None


def _patterns(call: Call) -> Sequence[str]:
    return recording.patterns(Path(call.arguments.redact)) if call.arguments.redact else ()


def _warning() -> Text:
    return Text(f"Warning: {recording_review.NAMES_WARNING}.", style="yellow")


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "an unnamed user"


def _progress(account: Account) -> str:
    parts = [f"{account.recorded}/{account.wanted} recorded", f"{account.seen} seen"]
    return ", ".join([*parts, *filter(None, [_left_out(account), account.ended])])


def _left_out(account: Account | None) -> str:
    return ", ".join(f"{count} {why}" for why, count in account.left_out.items()) if account else ""
