"""Why vLLM is not started: one sentence, the next command, and an exit code that a restart policy can be read by."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Exit codes, after sysexits.h. `MEANING` explains them; only `TAKEN` may go away by itself."""

    USAGE = 64
    UNREADABLE = 66
    NO_ENGINE = 69
    TAKEN = 75
    FORBIDDEN = 77
    CONFIG = 78


MEANING = {
    Exit.USAGE: "an argument or a variable that does not exist, or a value that cannot be read",
    Exit.UNREADABLE: "a file or folder that is not there, or that the user of the container may not read",
    Exit.NO_ENGINE: "no vLLM is installed, or its CUDA build sees no GPU",
    Exit.TAKEN: "others hold so much of the GPU's memory that the model does not fit beside them",
    Exit.FORBIDDEN: "a gated model without a Hugging Face token",
    Exit.CONFIG: "this model cannot be served so: an Ollama tag, an unknown name, weights larger than the card",
}


class Refusal(Exception):
    """vLLM is not started. The message is a sentence and the next command; no secret is in it."""

    def __init__(self, code: Exit, sentence: str, then: str) -> None:
        super().__init__(f"{sentence}; next: {then}")
        self.code = code
