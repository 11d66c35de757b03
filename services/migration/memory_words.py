"""The words and cells of a memory measurement, the same on the command line and in the report."""

from __future__ import annotations

from collections.abc import Iterator

from services.migration.memory_document import Memory, Ratio
from services.migration.report_words import ENGINES, number

QUANTITIES = {
    "rss": "RSS, shared pages in each process",
    "pss": "PSS, shared pages once",
    "high_water": "kernel's high-water mark since start",
    "gpu": "GPU memory of its processes",
    "gpu_device": "GPU memory in use by all",
    "container": "container, as docker stats",
}
Row = tuple[str, ...]


def size(count: float | None) -> str:
    """Bytes in the binary unit that fits; `?` where it is not known."""
    if count is None:
        return "?"
    for unit, width in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= width:
            return f"{count / width:.2f} {unit}" if count < 100 * width else f"{count / width:.0f} {unit}"
    return f"{count:.0f} B"


def told(found: Memory) -> tuple[str, ...]:
    """What was loaded, how it was sampled, which engines."""
    load, sampling = found.load, found.sampling
    asked = ", ".join(
        f"{ENGINES.get(e, e)} {n} answers, {load.errors.get(e, 0)} failed" for e, n in load.requests.items()
    )
    busy = f", load average {load.load1[0]:.2f} before, {load.load1[1]:.2f} after" if load.load1 else ""
    cost = ", ".join(
        f"{name} look {ms:g} ms"
        for name, ms in (("plain", sampling.plain_ms), ("thorough", sampling.thorough_ms))
        if ms is not None
    )
    lines = [
        "; ".join(f"{ENGINES.get(e.engine, e.engine)} {e.version}: {e.model}, {e.quantization}" for e in found.engines),
        f"load: {load.what}, {load.in_flight} in flight, {load.seconds:.0f} s; {asked}{busy}",
        f"{sampling.looks} looks, every {sampling.period_s:g} s, one in {sampling.thorough_every} thorough; {cost}",
        f"machine: {found.machine}; measured {found.created}" + (f", beside {found.raw}" if found.raw else ""),
    ]
    if sampling.problem:
        lines.append(f"sampling broke off: {sampling.problem}")
    return tuple(lines)


def taken_rows(found: Memory) -> list[Row]:
    """Each quantity of each engine that is known."""
    order = {quantity: place for place, quantity in enumerate(QUANTITIES)}
    return [
        (
            QUANTITIES.get(t.quantity, t.quantity), ENGINES.get(t.engine, t.engine), size(t.idle), size(t.steady),
            size(t.peak), str(t.samples),
        )
        for t in sorted(found.taken, key=lambda t: (order.get(t.quantity, len(order)), t.engine))
        if not t.unknown
    ]  # fmt: skip


def ratio_rows(found: Memory) -> list[Row]:
    """Both engines' amounts and vLLM's over Ollama's."""
    return [(r.what, _amount(r, r.ollama), _amount(r, r.vllm), number(r.ratio)) for r in found.ratios]


def _amount(ratio: Ratio, value: float | None) -> str:
    if value is None:
        return "?"
    return size(value) if ratio.unit == "bytes" else f"{value:g}"


def settings_rows(found: Memory) -> list[Row]:
    """What decides how much each engine takes, as its processes were started."""
    return [
        (ENGINES.get(engine, engine), ", ".join(f"{name}={value}" for name, value in sorted(values.items())) or "?")
        for engine, values in found.told.items()
    ]


def unknown(found: Memory) -> Iterator[str]:
    """Why a number is missing."""
    for taken in found.taken:
        engine = ENGINES.get(taken.engine, taken.engine)
        if taken.unknown:
            yield f"{engine}, {QUANTITIES.get(taken.quantity, taken.quantity)}: {taken.unknown}"
    for bought in found.buys:
        yield from (f"{ENGINES.get(bought.engine, bought.engine)}: {note}" for note in bought.notes)
