"""Trial engines and instances: beside the stack, one engine each, and gone with the block however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from services import settings as settings_room
from services.settings import Settings
from services.stack import headroom, local, procfs
from services.stack.headroom import Loaded
from services.stack.local import StackError
from services.stack.processes import Processes
from services.stack.trial import PREFIX, trials
from tests.house.sources import ROOT
from tests.unit.stack.conftest import Recorder

Env = dict[str, str]
GIB = 2**30
ONE = Loaded(weights=4 * GIB, size=5 * GIB, size_vram=0)


@pytest.fixture
def stack(settings: Settings, env: Env, progress: Recorder) -> Settings:
    """Both fake engines up, and a Notes that has stored something."""
    local.up(settings, progress, env=env, services=())
    source = settings.stores.file("notes")
    assert source is not None
    source.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(source)) as store:
        store.execute("CREATE TABLE kept (word TEXT)")
    return settings


def ours(settings: Settings) -> dict[str, int]:
    """The pids of the trial's process records."""
    states = Processes(home=settings.home).states()
    return {name: state.pid for name, state in states.items() if name.startswith(PREFIX)}


def test_each_contender_has_an_instance_that_reaches_its_engine_alone(
    stack: Settings, env: Env, progress: Recorder
) -> None:
    """What runs stays as it is; afterwards nothing of the trial is left, its copy of the data included."""
    before = {name: state.pid for name, state in local.snapshot(stack).items()}
    with trials(stack, "notes", progress, env=env, parallel=(2,), given={}) as found:
        pids = ours(stack)
        token = local.admin_token(stack)
        assert token is not None
        header = {"Authorization": f"Bearer {token.value}"}
        answers = {
            t.name: httpx2.get(f"{t.service_url}/api/admin/status", headers=header, trust_env=False).json()
            for t in found
        }
        parallel = Path(f"/proc/{pids[f'{PREFIX}ollama-2']}/environ").read_bytes().split(b"\0")
        homes = [Path(f"{stack.home}/trials/{t.name}/data/notes.db").exists() for t in found]

    assert [(t.name, t.parallel) for t in found] == [("vllm", None), ("ollama-2", 2)]
    assert {name: answer["pin"] for name, answer in answers.items()} == {"vllm": "vllm", "ollama-2": "ollama"}
    assert b"OLLAMA_NUM_PARALLEL=2" in parallel
    assert homes == [True, True]
    assert [procfs.members(pid) for pid in pids.values()] == [[], [], []]
    assert ours(stack) == {} and not (stack.home / "trials").exists()
    assert {name: state.pid for name, state in local.snapshot(stack).items()} == before


def test_an_error_inside_the_block_ends_everything(stack: Settings, env: Env, progress: Recorder) -> None:
    """The error itself gets through."""
    pids: dict[str, int] = {}
    with (
        pytest.raises(RuntimeError, match="the experiment broke"),
        trials(stack, "notes", progress, env=env, parallel=(1,), given={}),
    ):
        pids.update(ours(stack))
        raise RuntimeError("the experiment broke")

    assert len(pids) == 3
    assert [procfs.members(pid) for pid in pids.values()] == [[], [], []]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(stack: Settings, env: Env, number: signal.Signals) -> None:
    """Ctrl-C, a supervisor's stop, and a terminal that is closed."""
    code = (
        "import os, time\n"
        "from services import settings\n"
        "from services.stack.trial import trials\n"
        "from tests.unit.stack.conftest import Recorder\n"
        "found = settings.load(os.environ)\n"
        "with trials(found, 'notes', Recorder(), env=dict(os.environ), parallel=(1,), given={}):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", code]
    child = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "up\n", child.communicate()[1]
    pids = ours(stack)
    child.send_signal(number)
    _, said = child.communicate(timeout=120)

    assert "KeyboardInterrupt" in said
    assert len(pids) == 3
    assert [procfs.members(pid) for pid in pids.values()] == [[], [], []]


def test_what_a_killed_trial_has_left_goes_with_down(stack: Settings, env: Env, progress: Recorder) -> None:
    """Nobody can clean up after SIGKILL; the records of what was started can."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with trials(stack, "notes", progress, env=env, parallel=(1,), given={}):
            os.write(write, b"up")
            time.sleep(60)
    assert os.read(read, 2) == b"up"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    left = ours(stack)
    local.down(stack, progress)

    assert len(left) == 3
    assert [procfs.members(pid) for pid in left.values()] == [[], [], []]


def test_a_given_ollama_is_used_and_none_started(stack: Settings, env: Env, progress: Recorder) -> None:
    """As in a deployment where Cutover starts no engines."""
    given = {4: stack.ollama_url}
    with trials(stack, "notes", progress, env=env, parallel=(4,), given=given) as found:
        assert [t.engine_url for t in found] == [stack.vllm_url, stack.ollama_url]
        assert sorted(ours(stack)) == [f"{PREFIX}notes-ollama-4", f"{PREFIX}notes-vllm"]


def test_somebody_elses_ollama_is_not_doubled(stack: Settings, env: Env, progress: Recorder) -> None:
    """Its models and its memory are not ours to guess."""
    theirs = settings_room.load({**env, "OLLAMA_URL": stack.ollama_url})
    with (
        pytest.raises(StackError, match=r"NUM_PARALLEL \(1, 2\) and name them with `--ollama N=URL`"),
        trials(theirs, "notes", progress, env=env, parallel=(1, 2), given={}),
    ):
        pytest.fail("nothing may be measured")


def test_a_service_without_data_is_said(stack: Settings, env: Env, progress: Recorder) -> None:
    """What was started up to there is taken back."""
    with (
        pytest.raises(StackError, match=r"ner has no data at .*ner.db; bring it up first with `cutover up`"),
        trials(stack, "ner", progress, env=env, parallel=(1,), given={}),
    ):
        pytest.fail("nothing may be measured")

    assert ours(stack) == {}


def test_slots_cost_context_and_not_weights() -> None:
    """One slot of 5 GiB in all, 4 of them weights: four slots take 8, not 20."""
    assert ONE.with_slots(4) == 8 * GIB


def test_trial_engines_that_do_not_fit_are_refused_before_any_is_started() -> None:
    """With both sums and what to do."""
    headroom.enough(ONE, [1, 2], services=3, free=13 * GIB)
    with pytest.raises(StackError, match=r"NUM_PARALLEL 1, 2: they need about 12.1 GiB, 12.0 GiB are free"):
        headroom.enough(ONE, [1, 2], services=3, free=12 * GIB)


def test_a_containers_limit_counts_before_the_machines_memory(tmp_path: Path) -> None:
    """The kernel's own number knows nothing of it."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 100 kB\nMemAvailable: 2048 kB\n")
    assert headroom.free_bytes(meminfo=meminfo, cgroup=tmp_path) == 2048 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("500\n")
    assert headroom.free_bytes(meminfo=meminfo, cgroup=tmp_path) == 2048 * 1024
    (tmp_path / "memory.max").write_text("1500\n")
    assert headroom.free_bytes(meminfo=meminfo, cgroup=tmp_path) == 1000


def test_a_service_whose_data_is_in_a_server_is_not_tried(env: Env, stack: Settings, progress: Recorder) -> None:
    """Its trial would write into the data that it must not touch."""
    elsewhere = settings_room.load({**env, "NOTES_STORE_URL": "postgresql://me@db/team"})
    with (
        pytest.raises(StackError, match="unset NOTES_STORE_URL"),
        trials(elsewhere, "notes", progress, env=env, parallel=(1,), given={}),
    ):
        pytest.fail("nothing may be measured")

    assert ours(stack) == {}
