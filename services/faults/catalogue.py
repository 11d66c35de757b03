"""Every fault of `cutover faults`, in the order of `docs/FAULTS.md`."""

from __future__ import annotations

from services.faults.caller_faults import CALLER_FAULTS
from services.faults.engine_faults import ENGINE_FAULTS
from services.faults.failoverbench import FAILOVERBENCH
from services.faults.recovery_faults import RECOVERY_FAULTS
from services.faults.stage import Fault

CATALOGUE: tuple[Fault, ...] = (*FAILOVERBENCH, *ENGINE_FAULTS, *RECOVERY_FAULTS, *CALLER_FAULTS)
