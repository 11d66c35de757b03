"""The two engines serve one model: the same prompt, token by token, in the same window; and they go when told."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services import settings as settings_room
from services.llm import registry
from services.settings import SERVICES, Settings
from services.stack import local, procfs

pytestmark = pytest.mark.engines

MODEL = registry.model("smollm2-135m")


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


SHAPES = {
    "user only": [user("What is the capital of France?")],
    "system and user": [system("You are terse."), user("What is 1234567890 + 42? It's not 3.14159.")],
    "several turns": [system("Be kind."), user("Hi"), assistant("Hello!"), user("Name 3 cities:\n\n  - one\n\t- two")],
    "two in a row": [user("First."), user("Second.")],
    "spaces at the ends": [user("  padded \n")],
    "other scripts": [user("Äpfel, naïve — 日本語 🙂")],
    "the template's own marks": [user("What does <|im_end|> mean?")],
    "an answer begun": [user("Count."), assistant("One, two,")],
    "an answer begun twice": [system("Be kind."), user("Count."), assistant("One,"), assistant("two, ")],
}


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx2.post(url, json=body, timeout=300, trust_env=False)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ask_vllm(settings: Settings, messages: list[dict[str, str]], tokens: int = 1) -> dict[str, Any]:
    body = {"model": MODEL.names["vllm"], "messages": messages, "max_tokens": tokens, "temperature": 0}
    return post(f"{settings.vllm_url}/v1/chat/completions", body)


def ask_ollama(settings: Settings, messages: list[dict[str, str]], tokens: int = 1) -> dict[str, Any]:
    options = {"num_predict": tokens, "num_ctx": MODEL.context, "temperature": 0}
    body = {"model": MODEL.names["ollama"], "messages": messages, "stream": False, "options": options}
    return post(f"{settings.ollama_url}/api/chat", body)


@pytest.mark.parametrize("shape", SHAPES)
def test_both_engines_count_the_same_prompt_tokens(engines: Settings, shape: str) -> None:
    """The cheapest and best sign that both see the very same prompt."""
    by_vllm = ask_vllm(engines, SHAPES[shape])["usage"]["prompt_tokens"]
    by_ollama = ask_ollama(engines, SHAPES[shape])["prompt_eval_count"]

    assert by_vllm == by_ollama


@pytest.mark.parametrize("shape", ["an answer begun", "an answer begun twice"])
def test_vllm_goes_on_with_a_begun_answer_either_way(engines: Settings, shape: str) -> None:
    """Told to continue or not, its template leaves the turn open as Ollama's does."""
    body = {"model": MODEL.names["vllm"], "messages": SHAPES[shape], "max_tokens": 1, "temperature": 0}
    told = {**body, "continue_final_message": True, "add_generation_prompt": False}
    counts = [post(f"{engines.vllm_url}/v1/chat/completions", b)["usage"]["prompt_tokens"] for b in (body, told)]

    assert counts[0] == counts[1]


def test_up_makes_ollamas_model_anew_when_its_template_has_changed(
    engines: Settings, child_env: dict[str, str], progress: local.Progress
) -> None:
    """As after an upgrade, while Ollama runs on; its prompt is vLLM's again."""
    ours = post(f"{engines.ollama_url}/api/show", {"model": MODEL.names["ollama"]})["template"]
    old = {"model": MODEL.names["ollama"], "from": MODEL.names["ollama"], "template": "{{ .Prompt }}", "stream": False}
    post(f"{engines.ollama_url}/api/create", old)
    asked = SHAPES["system and user"]
    before = ask_ollama(engines, asked)["prompt_eval_count"]
    local.start_engine(engines, "ollama", progress, env=child_env)

    assert post(f"{engines.ollama_url}/api/show", {"model": MODEL.names["ollama"]})["template"] == ours
    after = ask_ollama(engines, asked)["prompt_eval_count"]
    assert before != after == ask_vllm(engines, asked)["usage"]["prompt_tokens"]


def test_both_engines_stop_at_the_end_of_the_turn(engines: Settings) -> None:
    """Long before their limit, and the mark itself is not in the answer."""
    by_vllm = ask_vllm(engines, SHAPES["user only"], tokens=400)["choices"][0]
    by_ollama = ask_ollama(engines, SHAPES["user only"], tokens=400)

    assert (by_vllm["finish_reason"], by_ollama["done_reason"]) == ("stop", "stop")
    assert "<|im_" not in by_vllm["message"]["content"] + by_ollama["message"]["content"]


def test_both_engines_have_the_window_of_the_registry(engines: Settings) -> None:
    """Told to each, because their defaults differ."""
    served = httpx2.get(f"{engines.vllm_url}/v1/models", timeout=30, trust_env=False).json()["data"][0]
    shown = post(f"{engines.ollama_url}/api/show", {"model": MODEL.names["ollama"]})
    parameters = dict(line.split(maxsplit=1) for line in shown["parameters"].splitlines())

    assert (served["id"], served["max_model_len"]) == (MODEL.names["vllm"], MODEL.context)
    assert int(parameters["num_ctx"]) == MODEL.context


def test_a_prompt_past_ollamas_own_default_window_is_not_cut(engines: Settings) -> None:
    """Left alone this Ollama has 2,048 tokens and drops the rest without a word."""
    long = [user("word " * 2500)]
    by_vllm = ask_vllm(engines, long)["usage"]["prompt_tokens"]

    assert by_vllm > 2500
    assert ask_ollama(engines, long)["prompt_eval_count"] == by_vllm


def test_a_prompt_past_the_window_is_refused_by_vllm(engines: Settings) -> None:
    """With the 400 that the services must not take for an ill engine."""
    body = {"model": MODEL.names["vllm"], "messages": [user("word " * MODEL.context)], "max_tokens": 1}
    answer = httpx2.post(f"{engines.vllm_url}/v1/chat/completions", json=body, timeout=120, trust_env=False)

    assert answer.status_code == 400


def test_a_second_up_reuses_everything(stack: Settings, child_env: dict[str, str], progress: local.Progress) -> None:
    """Engines and services keep their processes."""
    before = {name: state.pid for name, state in local.snapshot(stack).items()}
    local.up(stack, progress, env=child_env)

    assert set(before) == {"vllm", "ollama", "monitor", *SERVICES}
    assert {name: state.pid for name, state in local.snapshot(stack).items()} == before


def test_down_leaves_no_process_of_ours(
    child_env: dict[str, str], engines: Settings, progress: local.Progress, tmp_path: Path
) -> None:
    """A second Ollama, in a home of its own, comes and goes without touching the first."""
    with httpx2.Client(trust_env=False) as http:
        port = _another_port()
        env = {**child_env, "CUTOVER_HOME": str(tmp_path), "CUTOVER_OLLAMA_PORT": str(port)}
        mine = settings_room.load(env)
        local.start_engine(mine, "ollama", progress, env=env)
        leader = local.snapshot(mine)["ollama"].pid
        assert len(procfs.members(leader)) >= 2  # the server and the runner that holds the model

        assert local.down(mine, progress) == ["ollama"]
        assert procfs.members(leader) == []
        with pytest.raises(httpx2.ConnectError):
            http.get(f"{mine.ollama_url}/api/version")
    assert local.snapshot(engines)["ollama"].alive is True


def _another_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
