"""The six boards, in order."""

from __future__ import annotations

from services.monitor.board_cost import COST
from services.monitor.board_fallbacks import FALLBACKS
from services.monitor.board_gpu import GPU
from services.monitor.board_migration import MIGRATION, STAGES
from services.monitor.board_vllm import VLLM

BOARDS = (MIGRATION, FALLBACKS, VLLM, GPU, STAGES, COST)
