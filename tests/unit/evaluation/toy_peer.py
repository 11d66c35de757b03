"""A peer's driver for tests: searches by comparing every vector, and misbehaves at one order where it is told how.

`python toy_peer.py [ORDER CODE] FOLDER`: `CODE` is run in place of the answer to `ORDER`, or before the first line
where `ORDER` is `start`. Standard library only, as it runs without the test's path.
"""

from __future__ import annotations

import base64
import json
import os  # noqa: F401 - for the code that is given
import struct
import sys
from typing import Any

WAYS = ["toy-exact", "toy-blind"]


def say(told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def floats(text: str) -> list[float]:
    data = base64.b64decode(text)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def nearest(rows: list[list[float]], order: dict[str, Any]) -> list[int]:
    """The blind way finds the farthest."""
    wanted, sign = floats(order["vector"]), -1 if order["way"] == "toy-exact" else 1
    apart = [sign * sum(a * b for a, b in zip(row, wanted, strict=True)) for row in rows]
    return sorted(range(len(rows)), key=apart.__getitem__)[: order["k"]]


def main(at: str, code: str) -> None:
    rows: list[list[float]] = []
    if at == "start":
        exec(code)
    say({"ready": {"toy": "1.0"}, "ways": WAYS})
    for line in sys.stdin:
        order = json.loads(line)
        n, told = order["id"], {"id": order["id"]}
        if order["do"] == at:
            exec(code, globals(), {"n": n})
            continue
        match order["do"]:
            case "add":
                given = floats(order["vectors"])
                rows += [given[i : i + order["dimension"]] for i in range(0, len(given), order["dimension"])]
                told |= {"rows": len(rows)}
            case "build":
                told |= {"uses": {way: {"vectors": f"{len(rows)} rows"} for way in WAYS}}
            case "search":
                told |= {"ids": nearest(rows, order), "wall_s": 0.002, "cpu_s": 0.001}
            case "nearest":
                told |= {"ids": nearest(rows, order)}
        say(told)


if __name__ == "__main__":
    main(*(sys.argv[1:3] if len(sys.argv) > 3 else ("", "")))
