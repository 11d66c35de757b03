"""`cutover plan`: whether a model fits a card beside Ollama, with the arithmetic line by line."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from services.cli_commands import Call, Result
from services.llm.registry import Model, models
from services.llm.registry_gpus import Gpu, Price
from services.llm.sizing import BLOCK, Memory, Plan, PlanError, gib, gpus
from services.llm.sizing import plan as planned

UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
DECIMAL = {"kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", re.ASCII)
WIDTH = 78


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `cutover plan`."""
    verb.add_argument("--gpu", required=True, metavar="CARD", help="like rtx-3090; a wrong name lists all")
    verb.add_argument("--model", required=True, metavar="ALIAS", help="an alias that `cutover models` lists")
    sizes(verb)
    verb.add_argument("--quantisation", metavar="Q", help="bf16, fp8, mxfp4 or w4; default: the widest of the entry")
    verb.add_argument("--cards", type=count, default=1, metavar="N", help="cards that share the weights (default: 1)")


def sizes(verb: argparse.ArgumentParser) -> None:
    """The options that say how much of a card there is to plan with."""
    verb.add_argument("--context", type=count, metavar="TOKENS", help="longest sequence; default: the entry's window")
    verb.add_argument(
        "--ollama-resident",
        type=size,
        default=0,
        metavar="SIZE",
        help="what Ollama keeps of the card, as `ollama ps` shows it, like 6GiB (default: 0)",
    )


def size(text: str) -> int:
    """Bytes. A decimal unit is refused, because 6GB and 6GiB differ by 0.4 GiB, which is many tokens."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of memory; write it like 6GiB")
    number, unit = float(found[1]), found[2]
    if unit in UNITS:
        return round(number * UNITS[unit])
    if unit in DECIMAL:
        amount = number * DECIMAL[unit] / UNITS["GiB"]
        raise argparse.ArgumentTypeError(f"{text!r} is {amount:.2f}GiB; write {amount:.2f}GiB, or {found[1]}GiB")
    if not unit and number == 0:
        return 0
    raise argparse.ArgumentTypeError(f"{text!r} has no unit that is known; write it like 6GiB or 512MiB")


def count(text: str) -> int:
    """A positive whole number; `8k` is refused because vLLM reads it as 8000 and `8K` as 8192."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number, like 8192")
    return int(text)


def card(name: str) -> Gpu:
    """The card of that name. Raises `PlanError` that names the nearest ones."""
    return gpus()[_known("card", name, gpus())]


def entry(call: Call, alias: str) -> Model:
    """The entry of that alias, the user's own included. Raises `PlanError` that names the nearest ones."""
    known = models(call.settings.models_file)
    return known[_known("model alias", alias, known)]


def _known(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if name in names:
        return name
    near = difflib.get_close_matches(name.lower(), names, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise PlanError(f"no {what} {name!r}; {hint}known: {', '.join(names)}")


def plan(call: Call) -> Result:
    """Plan and show. Exit 0 where it fits, 1 where it does not. Raises `PlanError` for a wrong question."""
    asked = call.arguments
    model, gpu = entry(call, asked.model), card(asked.gpu)
    made = planned(
        model,
        gpu,
        context=asked.context,
        ollama_resident=asked.ollama_resident,
        quantisation=asked.quantisation,
        cards=asked.cards,
    )
    return Result(document=document(made), shown=_shown(made, model, gpu), code=0 if made.fits else 1)


def document(made: Plan) -> dict[str, Any]:
    """What `--json` prints. The first seven keys are stable."""
    return {
        "fits": made.fits,
        "why": made.why,
        "weights_bytes": made.weights_bytes,
        "kv_bytes_per_token": made.kv_bytes_per_token,
        "kv_tokens": made.kv_tokens,
        "sequences": made.sequences,
        "flags": list(made.flags),
        "alternative": dataclasses.asdict(made.alternative) if made.alternative else None,
        "price_per_hour": _price(made.price),
        **{name: getattr(made, name) for name in ("model", "gpu", "cards", "quantisation", "hugging_face", "context")},
        "memory": dataclasses.asdict(made.memory),
    }


def _price(price: Price | None) -> Mapping[str, Any] | None:
    return {"usd": price.usd_per_hour, "date": price.date, "source": price.source} if price else None


def _shown(made: Plan, model: Model, gpu: Gpu) -> list[RenderableType]:
    several = f"{made.cards} x " if made.cards > 1 else ""
    head = f"{made.model} on {several}{made.gpu}: {made.quantisation} weights, {made.hugging_face}"
    verdict = Text("fits: " if made.fits else "does not fit: ", "green" if made.fits else "red").append(made.why)
    lines: list[RenderableType] = [Text(head, "bold"), Text(""), *map(Text, _memory(made.memory, made)), Text("")]
    lines += [*map(Text, _tokens(made, model)), Text(""), verdict]
    if made.alternative:
        lines += [Text(line) for line in _alternative(made)]
    if model.serving and model.serving.gated:
        lines.append(Text(f"gated: {made.hugging_face} needs an accepted licence and HF_TOKEN"))
    lines.append(Text(_priced(made.price)))
    if made.flags:
        lines += [
            Text(""),
            Text("vLLM arguments, to which model, names and port are added:"),
            *map(Text, _wrapped(made)),
        ]
    if gpu.source:
        lines += [Text(""), Text(f"{gpu.name}: {gpu.what}; {gpu.source}", "dim")]
    return lines


def _memory(memory: Memory, made: Plan) -> Iterable[str]:
    def line(what: str, amount: int, sign: str = " ") -> str:
        return f"  {what:<42}{sign}{gib(amount):>12}"

    each = " of each card" if made.cards > 1 else ""
    yield line(f"card{each}", memory.card)
    yield line("Ollama keeps", memory.ollama, "-")
    yield line("driver and contexts of both engines", memory.contexts, "-")
    yield line(f"vLLM may have {memory.utilisation:.3f} of the card", memory.budget, "=")
    yield line(f"weights, {made.quantisation}{each}", memory.weights, "-")
    yield line("activations and CUDA graphs (planned)", memory.activations, "-")
    yield line("left for the KV cache", memory.kv, "=")


def _tokens(made: Plan, model: Model) -> Iterable[str]:
    assert model.serving is not None  # else there was no plan
    shape = model.serving.geometry
    heads = shape.kv_heads // made.cards
    yield (
        f"  a token    2 x {shape.growing_layers} layers x {heads} KV heads x {shape.head_dim} x 2 bytes"
        f" = {made.kv_bytes_per_token:,} bytes"
    )
    if shape.window:
        yield f"             {shape.windowed_layers} more layers keep a window of {shape.window} and what is in flight"
    yield f"  KV cache   {made.kv_tokens:,} tokens, in blocks of {BLOCK}"
    yield f"  sequences  {made.sequences} of {made.context:,} tokens at a time; shorter ones more"


def _alternative(made: Plan) -> Iterable[str]:
    other = made.alternative
    assert other is not None
    cards = f" on {other.cards} cards" if other.cards > 1 else ""
    word = "more room" if made.fits else "instead"
    yield f"{word}: {other.quantisation} weights{cards}, {other.hugging_face}:"
    yield (
        f"  {other.kv_tokens:,} KV tokens, {other.sequences} sequences; ask with --quantisation {other.quantisation}"
        + (f" --cards {other.cards}" if other.cards > 1 else "")
    )


def _priced(price: Price | None) -> str:
    if price is None:
        return "price: own hardware, none known"
    return textwrap.fill(
        f"price: ${price.usd_per_hour:.2f} an hour ({price.date}; {price.source})", WIDTH, subsequent_indent="  "
    )


def _wrapped(made: Plan) -> list[str]:
    return textwrap.wrap(
        shlex.join(made.flags), WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
