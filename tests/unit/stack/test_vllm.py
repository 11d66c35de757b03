"""vLLM as found: which one is taken, with which Python, and how it is started."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from services import settings as settings_room
from services.llm import registry
from services.settings import Settings
from services.stack import ollama, vllm
from services.stack.errors import StackError
from services.stack.job import Job, Progress
from services.stack.processes import Processes

Env = dict[str, str]
MODEL = registry.model("smollm2-135m")


@pytest.fixture
def job_of(progress: Progress) -> Callable[[Settings, Env], Job]:
    def make(settings: Settings, env: Env) -> Job:
        return Job(
            settings=settings,
            env=env,
            progress=progress,
            processes=Processes(home=settings.home),
            cancelled=threading.Event(),
            started=[],
        )

    return make


def command(folder: Path, name: str, script: str) -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


def test_both_engines_are_told_the_same_window_and_template(
    settings: Settings, env: Env, job_of: Callable[[Settings, Env], Job]
) -> None:
    """The window comes from the registry, each template from its file of one name."""
    job = job_of(settings, env)
    argv = vllm.prepare(job, MODEL).argv

    assert argv[argv.index("--max-model-len") + 1] == str(MODEL.context)
    assert argv[argv.index("--chat-template") + 1].endswith("models/smollm2-135m.jinja")
    assert argv[argv.index("--generation-config") + 1] == "vllm"
    assert ollama.prepare(job, MODEL).env["OLLAMA_CONTEXT_LENGTH"] == str(MODEL.context)


def test_a_vllm_on_the_path_that_does_not_work_is_passed_over(
    settings: Settings, env: Env, tmp_path: Path, job_of: Callable[[Settings, Env], Job]
) -> None:
    """The CPU build's own `vllm` command is such a one: it dies asking for a distribution of that name."""
    command(tmp_path / "bin", "vllm", "exit 1")

    assert vllm._found(job_of(settings, env)) is None


def test_an_official_build_is_not_told_a_cpu_dtype(
    settings: Settings, env: Env, job_of: Callable[[Settings, Env], Job]
) -> None:
    """float32 is for the CPU build; a GPU picks its own."""
    launch = vllm.prepare(job_of(settings, env), MODEL)

    assert launch.argv[1] == "serve"
    assert "--dtype" not in launch.argv


def test_tuning_from_outside_wins_and_privacy_does_not(
    settings: Settings, env: Env, job_of: Callable[[Settings, Env], Job]
) -> None:
    """Threads and cache may be chosen; usage statistics and the model hub stay off."""
    told = vllm.prepare(job_of(settings, {**env, "OMP_NUM_THREADS": "7", "HF_HUB_OFFLINE": "0"}), MODEL).env

    assert (told["OMP_NUM_THREADS"], told["HF_HUB_OFFLINE"], told["VLLM_NO_USAGE_STATS"]) == ("7", "1", "1")
    assert told["VLLM_HOST_IP"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("script", "reason"),
    [("echo 3.12", "is 3.12"), ("echo no ensurepip >&2; exit 1", r"not usable \(no ensurepip\)")],
)
def test_a_python_without_a_locked_torch_is_refused(
    env: Env, tmp_path: Path, job_of: Callable[[Settings, Env], Job], script: str, reason: str
) -> None:
    """With the version that is needed and both ways out."""
    python = command(tmp_path, "python-of-mine", script)
    settings = settings_room.load({**env, "CUTOVER_ENGINE_PYTHON": python})

    with pytest.raises(StackError, match=rf"no Python 3\.11 .*{reason}.*CUTOVER_ENGINE_PYTHON .*or set VLLM_URL"):
        vllm._engine_python(job_of(settings, env))


def test_the_given_python_is_used(env: Env, tmp_path: Path, job_of: Callable[[Settings, Env], Job]) -> None:
    """Where it is of the right version."""
    python = command(tmp_path, "python-of-mine", "echo 3.11")
    settings = settings_room.load({**env, "CUTOVER_ENGINE_PYTHON": python})

    assert vllm._engine_python(job_of(settings, env)) == python
