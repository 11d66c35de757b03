"""What each engine was started with, as one digest: the flags that no engine tells over HTTP, such as `--max-num-seqs`.

Read where the stack can see it: the process that Cutover started or that listens there, else the container that
publishes the port or is named so. The same start gives the same digest: ports, addresses, folders and secrets are left
out, so is the order of the flags.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from services.settings import Settings
from services.stack import compose, procfs
from services.stack.compose import NoEngine, Place
from services.stack.engines import ENGINES, EngineName
from services.stack.memory import PROXIES, is_here, port_of, words_of
from services.stack.memory_container import publishes
from services.stack.processes import Processes

UNKNOWN = ""
SECRET = frozenset({"key", "keys", "token", "secret", "password", "credentials"})
WHERE = frozenset({"host", "port", "ip", "url", "uds"})
"""Words of a flag's or variable's name: what is secret, and what says only where an engine listens."""

PREFIXES = ("VLLM_", "CUTOVER_VLLM_", "OLLAMA_", "LLAMA_", "GGML_")
VARIABLES = frozenset({"OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"})
"""What of the environment settles how an engine works."""

FOLDERS = re.compile(r"(^|[=,])(?:~|\.{0,2})/(?:[^,]*/)?")
"""The folder of a path: another checkout starts the same engine from another place."""


def digests(settings: Settings, where: Place | None) -> Mapping[str, str]:
    """A digest for each engine; empty where nobody here can see how it was started."""
    urls: Mapping[EngineName, str] = {"vllm": settings.vllm_url, "ollama": settings.ollama_url}
    return {name: _of(Processes(home=settings.home), where, name, urls[name]) for name in ENGINES}


def _of(processes: Processes, where: Place | None, engine: EngineName, url: str) -> str:
    host, port = urlsplit(url).hostname or "", port_of(url)
    if not is_here(host):
        return _container(where, host, 0)
    record = processes.running(engine)
    if record and record.port == port:
        return _process(engine, record.pid, record.argv)
    found = procfs.listener(port)
    if found is None or found.name in PROXIES:
        return _container(where, "", port)
    return _process(engine, found.pid, words_of(procfs.PROC / str(found.pid) / "cmdline"))


def _process(engine: EngineName, pid: int, argv: Sequence[str]) -> str:
    """Unknown for another program on that port, for a process that hides its arguments, and for somebody else's."""
    environment = words_of(procfs.PROC / str(pid) / "environ")
    program = [w for w in argv if not w.startswith("--")][:4]
    if len(argv) < 2 or not environment or not any(engine in w.lower() for w in program):
        return UNKNOWN
    return digest(argv, environment)


def _container(where: Place | None, name: str, port: int) -> str:
    """Unknown without Docker, and where it does not answer us."""
    if where is None:
        return UNKNOWN
    try:
        with compose.engine(where) as client:
            return of_container(client, where.project, name, port)
    except NoEngine:
        return UNKNOWN


def of_container(client: Any, project: str, name: str, port: int) -> str:
    """Of the container that publishes `port` on this machine, else of our project's `name`.

    Its image counts as well: what it makes of its settings is inside.
    """
    published = (c for c in client.containers.list(ignore_removed=True) if port and publishes(c.ports, port))
    named = (c for c in compose.found(client, project) if compose.name(c.attrs) == name)
    attrs = next((c.attrs for c in itertools.chain(published, named)), None)
    if attrs is None:
        return UNKNOWN
    argv = [attrs.get("Path") or "", *(attrs.get("Args") or ())]
    return digest(argv, [*(attrs["Config"].get("Env") or ()), f"CUTOVER_VLLM_IMAGE={attrs.get('Image')}"])


def digest(argv: Sequence[str], environment: Iterable[str]) -> str:
    """One hash of the arguments, sorted by flag, and of the variables that matter. Pure; nothing of it can be read."""
    variables = (word.partition("=") for word in environment)
    matter = {n: _folderless(v) for n, _, v in variables if n.startswith(PREFIXES) or n in VARIABLES}
    parts = sorted([*_flags(argv), *((n, (v,)) for n, v in matter.items())])
    kept = [(name, value) for name, value in parts if not _left_out(name)]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()


def _flags(argv: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Each flag with all that follows it, `--a=b` like `--a b`; what comes before the first has no name."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            found.append((name.replace("_", "-"), [_folderless(value)] if equals else []))
        else:
            found[-1][1].append(_folderless(word))
    return [(name, tuple(values)) for name, values in found]


def _folderless(value: str) -> str:
    return FOLDERS.sub(r"\1", value.rstrip("/"))


def _left_out(name: str) -> bool:
    parts = re.split(r"[-_]", name.lower())
    return not SECRET.isdisjoint(parts) or not WHERE.isdisjoint(parts)
