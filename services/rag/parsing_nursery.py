"""Forks a child for each document, so that none waits for an interpreter and its imports; reads no document itself.

`python -P -m services.rag.parsing_nursery`. Input: frames of a length and what `parsing_child` takes; the child alone
reads its frame. Output: a length and the child's answer, then `END` once the child has ended well. A child that ends in
another way is the nursery's end too, by the same signal or code: whoever waits reads there why. So is one that answers
more or less than it said. Where nobody reads the output any more, the nursery ends with all that it has started.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import struct
import sys
from typing import NoReturn

from services.rag import parsing  # noqa: F401 - so that every child has it already
from services.rag.parsed import Limits, Source
from services.rag.parsing_child import answered, confine

LENGTH = struct.Struct(">Q")
END = b"."
_IN, _OUT = 0, 1
_PIECE = 1024 * 1024


def main() -> int:
    """0 when the input is at its end."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it ends by its child's signals
    while head := _exactly(_IN, LENGTH.size):
        (size,) = LENGTH.unpack(head)
        answers, answer = os.pipe()
        try:
            child = os.fork()
        except OSError:  # no process or no memory for one: not the document's fault
            os._exit(os.EX_TEMPFAIL)
        if child == 0:
            os.close(answers)
            _read_one(size, answer)
        os.close(answer)
        try:
            is_whole = _passed_on(answers)
            status = _status_of(child)
            if not status and is_whole:
                _write(_OUT, END)
        except BrokenPipeError:
            _end_with_all()
        os.close(answers)
        if status or not is_whole:
            _end_as(status)
    return 0


def _passed_on(answers: int) -> bool:
    """Whether the child has answered as much as it said, and no byte more, all of which is output."""
    head = _exactly(answers, LENGTH.size)
    if not head:
        return False
    _write(_OUT, head)
    (left,) = LENGTH.unpack(head)
    while left:
        _wait_for(answers)
        some = os.splice(answers, _OUT, min(left, _PIECE))  # from pipe to pipe: no answer is in this process's memory
        if not some:
            return False
        left -= some
    _wait_for(answers)
    return not os.read(answers, 1)


def _status_of(child: int) -> int:
    ended = os.pidfd_open(child)
    _wait_for(ended)
    os.close(ended)
    return os.waitpid(child, 0)[1]


def _wait_for(fd: int) -> None:
    """Until there is something to read, or an end."""
    waits = select.poll()
    waits.register(fd, select.POLLIN)
    waits.register(_OUT, 0)  # its reader's end is told all the same
    while fd not in (found := dict(waits.poll())):
        if _OUT in found:
            _end_with_all()


def _end_with_all() -> NoReturn:
    """Nobody reads the output: whoever started this process is gone. It leads a group of its own."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _read_one(size: int, to: int) -> None:
    """In the child, which ends here, an error as its code.

    Whatever the document makes of it, it has neither the pipe that later documents come by nor the one that answers do.
    """
    code = 1
    try:
        head, _, data = _exactly(_IN, size).partition(b"\n")
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, _IN)
        os.dup2(nothing, _OUT)
        told = json.loads(head)
        limits = Limits(**told["limits"])
        confine(limits)
        source = Source(data=data, name=told["name"], media_type=told["media_type"])
        answer = json.dumps(answered(source, limits)).encode()
        _write(to, LENGTH.pack(len(answer)) + answer)
        code = 0
    finally:
        os._exit(code)


def _end_as(status: int) -> None:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) or 1)


def _exactly(source: int, size: int) -> bytes:
    """So many bytes of `source`, or none where it ends before."""
    parts, left = [], size
    while left:
        if source != _IN:
            _wait_for(source)
        part = os.read(source, min(left, _PIECE))
        if not part:
            return b""
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _write(to: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(to, view) :]


if __name__ == "__main__":
    sys.exit(main())
