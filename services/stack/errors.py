"""What can go wrong in the stack: `StackError` for people; `venvs.InstallError` and `venvs.Cancelled` stay inside."""

from __future__ import annotations


class StackError(Exception):
    """Something could not be installed, started or stopped. The message says what, where, and the next command."""
