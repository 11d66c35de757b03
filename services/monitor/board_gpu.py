"""Board D: the GPU that both engines share."""

from __future__ import annotations

from services.monitor.panels import Board, Need, Panel, Query

FIELDS = (
    ("Busy", "DCGM_FI_DEV_GPU_UTIL", "Some kernel ran; not how well.", "percent"),
    ("Power", "DCGM_FI_DEV_POWER_USAGE", "Draw of the card alone.", "watt"),
    ("Temperature", "DCGM_FI_DEV_GPU_TEMP", "A 3090 slows down above 83.", "celsius"),
    ("Clock", "DCGM_FI_DEV_SM_CLOCK * 1000000", "Falls when it is too hot or draws too much.", "hertz"),
    ("Last XID error", "DCGM_FI_DEV_XID_ERRORS", "0 is none; any other is the driver's number of a fault.", "none"),
)

GPU = Board(
    uid="cutover-gpu",
    title="Cutover D: the GPU",
    says="By dcgm-exporter, with the fields that an RTX 3090 has; profiling fields it has none.",
    panels=(
        *(
            Panel(title=title, says=says, unit=unit, need=Need.GPU, queries=(Query(field, "GPU {{gpu}}"),))
            for title, field, says, unit in FIELDS
        ),
        Panel(
            title="Memory, and what Ollama holds of it",
            says="DCGM tells of the card, not of its processes; vLLM takes its share at the start and keeps it.",
            unit="bytes",
            need=Need.GPU,
            queries=(
                Query("DCGM_FI_DEV_FB_USED * 1048576", "GPU {{gpu}} used"),
                Query("DCGM_FI_DEV_FB_FREE * 1048576", "GPU {{gpu}} free"),
                Query('sum(llm_ollama_loaded_model_bytes{kind="vram"})', "Ollama's models"),
            ),
        ),
    ),
)
