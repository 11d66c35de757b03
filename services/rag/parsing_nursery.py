"""Forks a child for each document, so that none waits for an interpreter and its imports; reads no document itself.

`python -P -m services.rag.parsing_nursery`. Input: frames of a length and what `parsing_child` takes; the child alone
reads its frame. Output: a length and the child's answer, then `END` once the child has ended well. A child that ends in
another way is the nursery's end too, by the same signal or code: whoever waits reads there why.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys

from services.rag import parsing  # noqa: F401 - so that every child has it already
from services.rag.parsed import Limits, Source
from services.rag.parsing_child import answered, confine

LENGTH = struct.Struct(">Q")
END = b"."
_IN, _OUT = 0, 1
_PIECE = 1024 * 1024


def main() -> int:
    """0 when the input is at its end."""
    while head := _exactly(LENGTH.size):
        (size,) = LENGTH.unpack(head)
        answers, answer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(answers)
            _read_one(size, answer)
        os.close(answer)
        while os.splice(answers, _OUT, _PIECE):  # from pipe to pipe: no answer is ever in this process's memory
            pass
        os.close(answers)
        _, status = os.waitpid(child, 0)
        if status:
            _end_as(status)
        _write(_OUT, END)
    return 0


def _read_one(size: int, to: int) -> None:
    """In the child, which ends here, an error as its code.

    Whatever the document makes of it, it has neither the pipe that later documents come by nor the one that answers do.
    """
    code = 1
    try:
        head, _, data = _exactly(size).partition(b"\n")
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
    os._exit(os.WEXITSTATUS(status))


def _exactly(size: int) -> bytes:
    """So many bytes of the input, or none where it ends before."""
    parts, left = [], size
    while left:
        part = os.read(_IN, min(left, _PIECE))
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
