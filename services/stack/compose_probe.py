"""Asks the vLLM in a container for one token, from within: its port is not published, and its key stays where it is."""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass
from typing import Any

from services.stack.compose import NoEngine

DEADLINE_S = 30
"""For one token. A busy engine may take longer; whether it is busy is told by its count of tokens."""

GRACE_S = 15
"""What starting Python in the container and asking for the counts may take on top."""

TALLY = "vllm:generation_tokens_total"

SCRIPT = """
import json, os, pathlib, signal, sys, urllib.request

base = f"http://127.0.0.1:{os.environ.get('CUTOVER_VLLM_PORT') or 8000}"
deadline = int(sys.argv[1])
key_file = os.environ.get("CUTOVER_VLLM_API_KEY_FILE", "")
headers = {"Content-Type": "application/json"}
if key_file:
    headers["Authorization"] = "Bearer " + pathlib.Path(key_file).read_text().strip()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def ask(path, body=None, limit=deadline):
    data = None if body is None else json.dumps(body).encode()
    with opener.open(urllib.request.Request(base + path, data, headers), timeout=limit) as answer:
        return answer.read().decode()

def tally():
    try:
        lines = ask("/metrics", limit=4).splitlines()
    except Exception:  # no count, whatever the page did: whether it generates is asked below, and told
        return None
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sys.argv[2]))

def late(*_):
    raise TimeoutError(f"no token in {deadline} s")

before, why = tally(), ""
signal.signal(signal.SIGALRM, late)
signal.alarm(deadline)
try:
    model = json.loads(ask("/v1/models"))["data"][0]["id"]
    message = {"role": "user", "content": "Hi"}
    body = {"model": model, "max_tokens": 1, "temperature": 0, "messages": [message]}
    answer = json.loads(ask("/v1/chat/completions", body))
    why = "" if answer["usage"]["completion_tokens"] >= 1 else "an answer without a token"
except Exception as exc:
    why = f"{type(exc).__name__}: {exc}"
signal.alarm(0)
print(json.dumps({"why": why, "before": before, "after": tally() if why else before}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One look. `why` is empty when it generated; `others` are tokens that it gave to others meanwhile, if it tells."""

    why: str
    others: float | None = None

    @property
    def generates(self) -> bool:
        """For us, or for others who were before us."""
        return not self.why or (self.others is not None and self.others > 0)


def probe(container: Any, deadline_s: int = DEADLINE_S) -> Probe:
    """One token, by a program inside the container. Raises `NoEngine` where no such program can run there."""
    limit_s = deadline_s + GRACE_S
    ended = _within(container, ["python3", "-c", SCRIPT, str(deadline_s), TALLY], limit_s)
    if ended is None:
        return Probe(why=f"no program in {container.name} came to its end within {limit_s} s")
    code, text = ended
    if code != 0:
        raise NoEngine(f"cannot look into {container.name}: {text[-300:]}")
    return read(text)


def _within(container: Any, argv: list[str], limit_s: float) -> tuple[int, str] | None:
    """Exit code and output; None where it does not end. In a thread, for the SDK waits for ever."""
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put(container.exec_run(argv))
        except OSError as exc:  # Docker's own answers are OSErrors to the SDK
            ended.put(exc)

    threading.Thread(target=run, daemon=True, name="probe").start()
    try:
        found = ended.get(timeout=limit_s)
    except queue.Empty:
        return None
    if isinstance(found, OSError):
        raise found
    return found[0], found[1].decode("utf-8", "replace").strip()


def read(text: str) -> Probe:
    """What the program printed last. Pure."""
    told = json.loads(text.splitlines()[-1])
    before, after = told["before"], told["after"]
    counted = before is not None and after is not None
    return Probe(why=str(told["why"]), others=after - before if counted else None)
