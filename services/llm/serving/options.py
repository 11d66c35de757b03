"""vLLM's own options, as its pinned version has them, so that a wrong one is refused before anything is loaded.

`options.toml` is written from vLLM's parser and held to it by tests/engines/test_entrypoint.py. To renew it:
`PYTHON_THAT_HAS_VLLM tests/engines/vllm_parser.py --toml > services/llm/serving/options.toml`.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path

from services.llm.serving.refusals import Exit, Refusal

FILE = Path(__file__).with_name("options.toml")

GONE: Mapping[str, str] = {
    "--device": "leave it out: the build decides (VLLM_PACKAGE in Dockerfile.vllm)",
    "--swap-space": "use --kv-offloading-size or --cpu-offload-gb",
    "--disable-log-requests": "leave it out: requests are not logged unless --enable-log-requests says so",
    "--enable-reasoning": "leave it out: the reasoning parser of the registry is enough",
    "--guided-decoding-backend": "use --structured-outputs-config",
    "--speculative-model": "use --speculative-config",
    "--num-speculative-tokens": "use --speculative-config",
}
"""What older versions had and older pages still name, and what to do instead."""


@functools.cache
def known() -> frozenset[str]:
    """Every option of the pinned version, `--long` and `-s`."""
    return frozenset(tomllib.loads(FILE.read_text(encoding="utf-8"))["options"])


def check(name: str) -> None:
    """Refuse an option that vLLM does not have. `--a.b` sets a field of `--a`; `-O2` is an optimisation level."""
    stem = name.partition(".")[0]
    if stem in known() or (stem[:2] == "-O" and stem[2:].isdigit()):
        return
    raise Refusal(Exit.USAGE, f"vLLM has no option {name}", GONE.get(stem) or f"use {likely(stem)}")


def likely(stem: str) -> str:
    """The option that is meant, or where all of them are listed: there are too many for a sentence."""
    found = difflib.get_close_matches(stem, sorted(known()), n=1)
    return found[0] if found else "one that `vllm serve --help=all` lists"
