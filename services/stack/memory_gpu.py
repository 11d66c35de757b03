"""GPU memory by NVML: what an engine's processes hold on each device, and what the devices hold in all."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.stack.memory_readings import Quantity, Reading


def _pynvml() -> Any:
    """NVIDIA's own binding (nvidia-ml-py); imported when first asked, because most machines here have no use for it."""
    return importlib.import_module("pynvml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One GPU as its driver tells of it."""

    name: str
    driver: str
    memory_bytes: int


@dataclass(slots=True, kw_only=True)
class Devices:
    """The GPUs that NVML tells of. A machine without a driver has no NVML: that is said, and is no error."""

    load: Callable[[], Any] = field(default=_pynvml)
    _nvml: Any = None
    _absent: str = ""

    def cards(self) -> tuple[Card, ...]:
        """The machine's GPUs, in NVML's order. None of them where there is no NVML, or it fails: nobody knows then."""
        nvml = self._opened()
        if nvml is None:
            return ()
        try:
            driver = nvml.nvmlSystemGetDriverVersion()
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            return tuple(
                Card(name=nvml.nvmlDeviceGetName(h), driver=driver, memory_bytes=nvml.nvmlDeviceGetMemoryInfo(h).total)
                for h in handles
            )
        except nvml.NVMLError:
            return ()

    def read(self, engine: str, pids: Sequence[int], at: float) -> Iterator[Reading]:
        """The engine's share, then the devices' use by whomever."""
        nvml = self._opened()
        source = "NVML nvmlDeviceGetComputeRunningProcesses"
        if nvml is None:
            yield Reading(engine=engine, quantity=Quantity.GPU, at_s=at, source=source, unknown=self._absent)
            return
        try:
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            held = [p for h in handles for p in nvml.nvmlDeviceGetComputeRunningProcesses(h) if p.pid in pids]
            used = sum(nvml.nvmlDeviceGetMemoryInfo(h).used for h in handles)
            total = sum(nvml.nvmlDeviceGetMemoryInfo(h).total for h in handles)
        except nvml.NVMLError as exc:
            yield Reading(engine=engine, quantity=Quantity.GPU, at_s=at, source=source, unknown=f"NVML: {exc}")
            return
        count, unknown = _share(held)
        yield Reading(
            engine=engine, quantity=Quantity.GPU, at_s=at, source=f"{source}, {len(handles)} devices",
            bytes=count, unknown=unknown,
        )  # fmt: skip
        yield Reading(
            engine=engine, quantity=Quantity.GPU_DEVICE, at_s=at, bytes=used,
            source=f"NVML nvmlDeviceGetMemoryInfo, everybody's use of {len(handles)} devices with {total} bytes",
        )  # fmt: skip

    def _opened(self) -> Any:
        if self._nvml is None and not self._absent:
            try:
                nvml = self.load()
            except ImportError:
                self._absent = "no NVML: the package nvidia-ml-py is not installed"
                return None
            try:
                nvml.nvmlInit()
            except nvml.NVMLError as exc:  # no driver, no library, no right
                self._absent = f"no NVML: {exc}"
                return None
            self._nvml = nvml
        return self._nvml


def _share(held: Sequence[Any]) -> tuple[int | None, str]:
    """The sum; unknown where no process is listed (pids of another namespace are not ours) or one has no number."""
    if not held:
        return None, "none of its processes is on a GPU that NVML shows; in a container, NVML shows the host's pids"
    if any(p.usedGpuMemory is None for p in held):
        return None, "the driver does not tell how much each process holds (NVML_VALUE_NOT_AVAILABLE)"
    return sum(p.usedGpuMemory for p in held), ""
