"""What an import costs: CPU time and memory of fresh interpreters, one after the other in random order."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.overhead.processes import PROJECT, OverheadError

MODULES = {"openai": "openai", "ours": "services.llm.client, services.llm.build"}
"""Subject -> what it imports. Ours brings the openai SDK with it."""

LIMIT_S = 120.0
PROBE = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
began = time.process_time()
import {modules}
cpu_s = time.process_time() - began
try:
    rss = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
except OSError:
    rss = 0
sys.stdout.write('{{"cpu_s": %r, "rss_bytes": %d}}' % (cpu_s, rss))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import in a fresh interpreter. `rss_bytes` is 0 where the system does not tell."""

    cpu_s: float
    rss_bytes: int


def measure(
    rounds: int, *, seed: int, env: Mapping[str, str], on_round: Callable[[int, int], None]
) -> dict[str, list[Import]]:
    """`rounds` imports of each subject, all from bytecode: one of each before them, not counted, writes it.

    It goes to a folder of the measurement, so that it does not matter what was compiled or may be written elsewhere.
    """
    rng = random.Random(seed)
    found: dict[str, list[Import]] = {name: [] for name in MODULES}
    with tempfile.TemporaryDirectory() as bytecode:
        compiling = {name: value for name, value in env.items() if name != "PYTHONDONTWRITEBYTECODE"}
        compiling["PYTHONPYCACHEPREFIX"] = bytecode
        for name in MODULES:
            _probe(name, compiling)
        for done in range(rounds):
            for name in rng.sample(list(MODULES), len(MODULES)):
                found[name].append(_probe(name, compiling))
            on_round(done + 1, rounds)
    return found


def _probe(name: str, env: Mapping[str, str]) -> Import:
    argv: Sequence[str] = [sys.executable, "-P", "-c", PROBE.format(modules=MODULES[name]), str(PROJECT)]
    done = subprocess.run(argv, env=dict(env), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise OverheadError(f"`import {MODULES[name]}` failed; it said: {last}")
    return Import(**json.loads(done.stdout))
