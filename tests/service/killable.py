"""RAG as a process of its own on a store that outlives it: started, killed by SIGKILL at any moment, started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from services.settings import VARIABLES
from tests.fakes.engine import free_port

REPO = Path(__file__).resolve().parents[2]
START_S = 120.0
NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running RAG, and where it listens."""

    popen: subprocess.Popen[bytes]
    url: str

    def kill(self) -> None:
        """SIGKILL to the service alone, as an out-of-memory killer does; what it has started finds out by itself."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(120)


@contextlib.contextmanager
def running(home: Path, store: str) -> Iterator[Process]:
    """RAG on `store`, without an engine or an embedder, once it listens."""
    port = free_port()
    names = {variable.name for variable in VARIABLES}
    env = {name: value for name, value in os.environ.items() if name not in names}
    env |= {"CUTOVER_HOME": str(home), "RAG_STORE_URL": store, "VLLM_URL": NOBODY, "OLLAMA_URL": NOBODY}
    argv = [sys.executable, "-m", "uvicorn", "services.rag.app:create", "--factory", "--port", str(port)]
    with (home / "log").open("ab") as log:
        env["PYTHONPATH"] = str(REPO)
        popen = subprocess.Popen([*argv, "--no-access-log"], env=env, stdout=log, stderr=log)
        try:
            process = Process(popen=popen, url=f"http://127.0.0.1:{port}")
            _wait(process, home / "log")
            yield process
        finally:
            if popen.poll() is None:
                popen.terminate()
                popen.wait(120)


def _wait(process: Process, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.popen.poll() is None, log.read_text()[-2000:]
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{process.url}/healthz", trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"RAG does not listen: {log.read_text()[-2000:]}")
