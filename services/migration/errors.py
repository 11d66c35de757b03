"""What can go wrong in a migration. The class says which exit code the command line ends with.

MigrationError             2: nothing was decided, nothing was moved
  GateError                the experiment could not be run or judged
  LockHeld                 another `cutover migrate` or `cutover gate` is at work
  Superseded               the standing was changed by somebody else while the controller was at work
  LedgerError              the ledger cannot be trusted
  StateError               the state folder cannot be written
  RecordingError           requests of a service cannot be recorded, or a recording cannot be used
  WorkloadError            64: the recipe is not usable
  CodeError                64: there is no code to read where `doctor --code` points
  EngineUnreachable        69: an engine or a service does not answer
"""

from __future__ import annotations


class MigrationError(Exception):
    """Base of the tree. A message says what, where, and the next command."""

    exit_code = 2


class GateError(MigrationError):
    """The experiment could not be run, or its raw file cannot be judged."""


class LockHeld(MigrationError):
    """Another gate or controller is at work. `pid` and `since` say who and from when."""

    def __init__(self, *, verb: str, pid: int | None, since: str) -> None:
        who = f"process {pid}" if pid else "another process"
        instead = ", or take the service back with `cutover rollback SERVICE`" if verb == "migrate" else ""
        super().__init__(f"{who} runs `cutover {verb}` since {since or 'an unknown time'}; wait for it{instead}")
        self.pid = pid
        self.since = since


class Superseded(MigrationError):
    """Somebody else (a rollback) changed the standing; the controller stops and leaves it as it is."""


class LedgerError(MigrationError):
    """A line of the ledger, not just a torn last one, cannot be read."""


class StateError(MigrationError):
    """The state folder cannot be written, for example because the disk is full."""


class RecordingError(MigrationError):
    """Requests cannot be recorded as asked, or a recording cannot be used. Nothing was recorded by this command."""


class WorkloadError(MigrationError):
    """A recipe is not usable. The message names the file and the field."""

    exit_code = 64


class CodeError(MigrationError):
    """A path with code of a team does not exist, cannot be read, or holds no Python."""

    exit_code = 64


class EngineUnreachable(MigrationError):
    """An engine or a service does not answer at all."""

    exit_code = 69
