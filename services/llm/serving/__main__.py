"""The command behind vllm-entrypoint.sh: looks at the machine, then becomes vLLM, or says why it does not."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from services.llm import registry
from services.llm.serving import machine
from services.llm.serving.launch import Files, Launch, launch
from services.llm.serving.refusals import MEANING, Exit, Refusal
from services.llm.serving.variables import PREFIX, VARIABLES, closest, wanted

HOME = f"{PREFIX}HOME"
"""Set by the shell script: the folder that it put on PYTHONPATH for us, which vLLM shall not see."""

FLAGS = ("--print", "--help")
USAGE = "vllm-entrypoint.sh [--print] [MODEL] [-- VLLM_ARGUMENTS]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command line. `extra` are vLLM's own arguments."""

    model: str
    prints: bool
    helps: bool
    extra: tuple[str, ...]


def asked(argv: Sequence[str]) -> Asked:
    """Parse the command line. Raises `Refusal` for what is not in `USAGE`."""
    words = list(argv)
    cut = words.index("--") if "--" in words else len(words)
    own, extra = words[:cut], words[cut + 1 :]
    models = [word for word in own if not word.startswith("-")]
    for word in own:
        if word.startswith("-") and word not in FLAGS:
            then = f"use {closest(word, FLAGS)}, or put vLLM's own arguments after --: {USAGE}"
            raise Refusal(Exit.USAGE, f"there is no flag {word}", then)
    if len(models) > 1:
        raise Refusal(Exit.USAGE, f"{len(models)} models were named: {', '.join(models)}", f"name one: {USAGE}")
    model = models[0] if models else ""
    return Asked(model=model, prints="--print" in own, helps="--help" in own, extra=tuple(extra))


def main(argv: Sequence[str]) -> NoReturn:
    """Becomes vLLM; else exits, with the refusal on stderr."""
    try:
        request = asked(argv)
        if request.helps:
            sys.stdout.write(help_text())
            sys.exit(0)
        made = prepare(request)
    except Refusal as exc:
        sys.stderr.write(f"vllm-entrypoint: {exc}\n")
        sys.exit(int(exc.code))
    for note in made.notes:
        sys.stderr.write(f"vllm-entrypoint: {note}\n")
    if request.prints:
        sys.stdout.write("".join(f"{word}\n" for word in made.argv))
        sys.exit(0)
    os.execvpe(made.argv[0], made.argv, made.env)


def prepare(request: Asked) -> Launch:
    """Everything up to the start. Raises `Refusal`."""
    env = dict(os.environ)
    _take_back_path(env)
    want = wanted(env, request.model)
    here = machine.look(env)
    files = Files(is_there=Path.is_dir, unreadable=machine.unreadable, read=lambda path: path.read_text("utf-8"))
    try:
        made = launch(want, here, registry.models(want.models), extra=request.extra, env=env, files=files)
    except registry.RegistryError as exc:
        raise Refusal(Exit.CONFIG, str(exc), "mend that file") from exc
    if not here.command and not request.prints:
        raise Refusal(Exit.NO_ENGINE, f"{sys.executable} has no vLLM", f"set {PREFIX}PYTHON to the Python that has it")
    return made


def _take_back_path(env: dict[str, str]) -> None:
    """Undo what the shell script did for this process alone."""
    home = env.pop(HOME, None)
    paths = [path for path in env.pop("PYTHONPATH", "").split(os.pathsep) if path and path != home]
    if paths:
        env["PYTHONPATH"] = os.pathsep.join(paths)


def help_text() -> str:
    """The usage, each variable with its default, each exit code."""
    lines = [USAGE, "", "variables:"]
    lines += [f"  {v.name}={v.default}\n      {v.meaning}" for v in VARIABLES]
    lines += ["", "exit codes:", *(f"  {int(code)}  {meaning}" for code, meaning in MEANING.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
