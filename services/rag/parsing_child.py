"""The child process that reads one document: bounds itself, reads standard input, answers JSON on standard output.

`python -m services.rag.parsing_child`. First line of the input: name, media type and limits as JSON; the rest: bytes.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import sys
from pathlib import Path
from typing import Any

from services.rag.parsed import Limits, Refusal, Source

LAST_TO_STAY = Path("/proc/self/oom_score_adj")
CPU_GRACE_S = 5
"""At the soft limit a process is told (SIGXCPU), which ends it; at the hard one it is killed, as for memory."""


def main() -> int:
    """0 with an answer, be it a refusal; anything else is a parser that died."""
    head = json.loads(sys.stdin.buffer.readline())
    limits = Limits(**head["limits"])
    confine(limits)
    source = Source(data=sys.stdin.buffer.read(), name=head["name"], media_type=head["media_type"])
    answer = json.dumps(answered(source, limits)).encode()
    output = sys.stdout.buffer
    output.write(answer)
    output.flush()
    return 0


def confine(limits: Limits) -> None:
    """No more memory and processor time than that, no file ever written, no core dump of somebody's document.

    Where memory runs out all the same, in a container for example, this process is the one to end, not the service.
    """
    LAST_TO_STAY.write_text("1000")
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + CPU_GRACE_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answered(source: Source, limits: Limits) -> dict[str, Any]:
    """What the parent is told: the parsed document, or the refusal."""
    from services.rag.parsing import parse

    try:
        return {"parsed": dataclasses.asdict(parse(source, limits))}
    except Refusal as exc:
        refusal = exc
    except MemoryError:
        detail = f"{source.name!r} wants more memory than a document may have; split it or save it anew"
        refusal = Refusal("parse-too-large", detail)
    return {"refused": {"code": refusal.code, "detail": refusal.detail}}


if __name__ == "__main__":
    sys.exit(main())
