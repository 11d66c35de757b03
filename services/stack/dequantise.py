"""GGUF to safetensors, run by the Python of a vLLM environment: `python dequantise.py FILE.gguf OUT`."""

from __future__ import annotations

import sys
from pathlib import Path


def main(gguf: Path, out: Path) -> None:
    """The weights stay what the GGUF file holds: only their format changes, so both engines serve the same model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # type: ignore[import-not-found] # only there

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for file in out.iterdir():
        file.chmod(0o644)  # safetensors makes them 0600; a container's vLLM runs as another user


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
