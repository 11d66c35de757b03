"""Embeddings without an engine: the model as an ONNX graph in this process, on the CPU. It does not chat."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.llm.cutting import TOKENIZER, read
from services.llm.errors import ConfigError, DeadError, DeadlineExceeded, ErrorType
from services.llm.registry import Model
from services.llm.spaces import EmbedRequest, Vectors
from services.llm.types import ChatRequest, Chunk, Completion, Usage

GRAPH = "model.onnx"
TOKENS_AT_ONCE = 512
"""Padded tokens of one run of the graph: two whole windows.

More takes more memory and was no faster: the largest blocks grow with it, and what is above 32 MiB glibc maps anew each
time, page by page, while what is below it keeps in heaps, one per thread. `cutover bench --ingest` prints the memory.
"""


STATUSES = (
    "DeviceReset",
    "EPFail",
    "EngineError",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelLoadCanceled",
    "ModelLoaded",
    "ModelRequiresCompilation",
    "NoModel",
    "NoSuchFile",
    "NotFound",
    "NotImplemented",
    "RuntimeException",
)
"""Names of onnxruntime's own errors."""


class InProcess:
    """`models` maps aliases to registry entries; the files of each lie in its folder below `engines_dir`."""

    engine = "in_process"

    def __init__(self, *, name: str, models: Mapping[str, Model], engines_dir: Path) -> None:
        self.name = name
        self._models = models
        self._engines_dir = engines_dir
        self._lock = threading.Lock()
        self._loaded: dict[str, tuple[Any, Any]] = {}

    def model(self, alias: str) -> str:
        return self._models[alias].names[self.engine]

    def window(self, alias: str) -> int:
        return self._models[alias].context

    def refusal(self, request: ChatRequest) -> str | None:
        """It never chats."""
        return f"{request.alias}: this process embeds and does not chat"

    def dropped(self, _request: ChatRequest) -> tuple[str, ...]:
        return ()

    @property
    def refuses_long_prompts(self) -> bool:
        return True

    async def chat(self, request: ChatRequest) -> Completion:
        """Raises `ConfigError`, always."""
        raise ConfigError(str(self.refusal(request)), provider=self.name)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Raises `ConfigError`, always."""
        raise ConfigError(str(self.refusal(request)), provider=self.name)
        yield Chunk()

    def embeds(self, alias: str) -> bool:
        """Whether the alias names a model that runs in process."""
        model = self._models[alias]
        return model.space is not None and self.engine in model.names

    async def embed(self, request: EmbedRequest) -> Vectors:
        """One vector per text, computed in a thread, which stops at the next batch once nobody waits for it.

        Raises `ConfigError` where the model's files are not there or broken, `DeadError` where the graph fails.
        """
        is_over = threading.Event()
        try:
            return await asyncio.to_thread(self._embed, request.alias, request.texts, is_over)
        finally:
            is_over.set()

    async def aclose(self) -> None:
        with self._lock:
            self._loaded.clear()

    def _embed(self, alias: str, texts: Sequence[str], is_over: threading.Event) -> Vectors:
        session, tokenizer = self._session(alias)
        encoded = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        longest, window = max(map(len, encoded)), self._models[alias].context
        if longest > window:
            raise ConfigError(f"a text of {longest} tokens does not fit {alias}'s {window}", provider=self.name)
        rows: dict[int, tuple[float, ...]] = {}
        for batch in batches([len(ids) for ids in encoded]):
            if is_over.is_set():
                raise DeadlineExceeded("nobody waits for these vectors any more", provider=self.name)
            vectors = _computed(session, _padded([encoded[i] for i in batch]), self.name)
            rows.update(zip(batch, map(tuple, vectors.tolist()), strict=True))
        tokens = sum(map(len, encoded))
        return Vectors(rows=tuple(rows[i] for i in range(len(texts))), usage=Usage(prompt_tokens=tokens))

    def _session(self, alias: str) -> tuple[Any, Any]:
        """The graph and its tokenizer, loaded by the first request that needs them."""
        with self._lock:
            if alias not in self._loaded:
                self._loaded[alias] = _load(self._models[alias], self._engines_dir, self.name)
            return self._loaded[alias]


def batches(lengths: Sequence[int], *, tokens: int = TOKENS_AT_ONCE) -> Iterable[list[int]]:
    """The numbers of the texts, those of like length together: padded to the longest, none exceeds `tokens`."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and lengths[index] * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _padded(encoded: Sequence[Sequence[int]]) -> dict[str, Any]:
    import numpy as np

    ids = np.zeros((len(encoded), max(map(len, encoded))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, one in enumerate(encoded):
        ids[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _computed(session: Any, inputs: Mapping[str, Any], provider: str) -> Any:
    try:
        return session.run(None, inputs)[0]
    except _failures() as exc:
        raise DeadError(f"the graph failed: {exc}", provider=provider, type=ErrorType.BAD_RESPONSE) from exc


def _failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: a class for each of its statuses, without a common base, and two of Python's own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # type: ignore[import-untyped]  # it ships no types

    return (*(getattr(state, name) for name in STATUSES), RuntimeError, ValueError)


def _load(model: Model, engines_dir: Path, provider: str) -> tuple[Any, Any]:
    import onnxruntime  # type: ignore[import-untyped]  # it ships no types

    folder = model.source.folder(engines_dir, model.alias) if model.source else engines_dir
    if not (folder / GRAPH).is_file():
        raise ConfigError(f"no {folder / GRAPH}; `cutover models --fetch {model.alias}` brings it", provider=provider)
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # else the memory of the longest batch is kept for ever
    try:
        session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
    except _failures() as exc:
        anew = f"remove {folder}, and `cutover models --fetch {model.alias}` brings it anew"
        raise ConfigError(f"{folder / GRAPH} cannot be loaded ({exc}); {anew}", provider=provider) from exc
    return session, read(folder / TOKENIZER, provider=provider)
