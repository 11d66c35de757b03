"""Asks both engines what they are: version, model, digest, quantisation, context. Raw HTTP to their own APIs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from services.llm.identity import folder_digest
from services.llm.registry import Model, RegistryError, chat_model
from services.migration import cache_config, pages
from services.migration.errors import EngineUnreachable
from services.migration.records import Engine
from services.settings import Settings

HASHED_AT_MOST = 64 * 2**30  # bytes of a GGUF that is read to compare it with Ollama's own

NOBODY_SAW: Mapping[str, str] = {}


class NotAnEngine(EngineUnreachable):
    """Something answers at an engine's address, and is no such engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """One answer of an engine: status and body, whatever they are."""

    status: int
    body: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        return self.status == 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """Both engines of one model alias. `limit_s` bounds each call: a cold load on a small machine is slow."""

    client: httpx2.AsyncClient
    vllm_url: str
    ollama_url: str
    model: Model
    vllm_key: str = ""
    limit_s: float = 180.0

    async def vllm(self, path: str, body: Mapping[str, Any] | None = None) -> Reached:
        headers = {"Authorization": f"Bearer {self.vllm_key}"} if self.vllm_key else {}
        return await self._call("vLLM", self.vllm_url, path, body, headers)

    async def ollama(self, path: str, body: Mapping[str, Any] | None = None) -> Reached:
        return await self._call("Ollama", self.ollama_url, path, body, {})

    async def vllm_metrics(self) -> str:
        """vLLM's metrics page; empty where it has none. Raises `EngineUnreachable`."""
        headers = {"Authorization": f"Bearer {self.vllm_key}"} if self.vllm_key else {}
        try:
            answer = await self.client.get(f"{self.vllm_url}/metrics", headers=headers, timeout=self.limit_s)
        except httpx2.HTTPError as exc:
            raise EngineUnreachable(f"vLLM does not answer at {self.vllm_url}/metrics ({type(exc).__name__})") from exc
        return answer.text if answer.status_code == 200 else ""

    async def _call(
        self, name: str, url: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Reached:
        try:
            if body is None:
                answer = await self.client.get(url + path, headers=headers, timeout=self.limit_s)
            else:
                answer = await self.client.post(url + path, json=body, headers=headers, timeout=self.limit_s)
        except httpx2.HTTPError as exc:
            raise EngineUnreachable(
                f"{name} does not answer at {url} ({type(exc).__name__}); start it with `cutover up`"
            ) from exc
        return Reached(status=answer.status_code, body=_object(answer))


def _object(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        found = pages.parsed(answer.content)
    except ValueError:
        return {"text": answer.text[:500]}
    return found if isinstance(found, dict) else {"value": found}


def engines(settings: Settings, service: str, client: httpx2.AsyncClient) -> Engines:
    """The engines behind one service's model alias. Raises `RegistryError` where one has no name for it."""
    key, chosen = settings.vllm_api_key, chat_model(settings.aliases[service], settings.models_file)
    if missing := chosen.missing("vllm", "ollama"):
        raise RegistryError(f"the model alias {chosen.alias!r} has no name for {' and '.join(missing)} in models.toml")
    return Engines(
        client=client, vllm_url=settings.vllm_url, ollama_url=settings.ollama_url,
        model=chosen, vllm_key=key.value if key else "",
    )  # fmt: skip


async def describe(
    found: Engines, *, whole: bool = True, started: Mapping[str, str] = NOBODY_SAW
) -> tuple[Engine, Engine]:
    """Ollama, then vLLM, as they are now. Raises `EngineUnreachable`, `NotAnEngine` where something else answers.

    Not `whole`, what is not told is left empty: the doctor has findings of its own about that. `started` holds a digest
    of how each was started, by its name, from whoever can see its processes: no engine tells that over HTTP.
    """
    shown = await found.ollama("/api/show", {"model": found.model.names["ollama"]})
    baseline = await _ollama(found, shown.body, whole)
    candidate = await _vllm(found, baseline, shown.body, whole)
    seen = [replace(one, started_with=started.get(one.engine, "")) for one in (baseline, candidate)]
    return seen[0], seen[1]


def same(then: Engine, now: Engine) -> bool:
    """Whether an engine is what it was. One whose start was seen then must be seen to be started so again.

    Where nobody saw it, as of an engine elsewhere, what the engine tells of itself decides alone.
    """
    seen = then.started_with or now.started_with
    return replace(then, started_with=seen) == now


async def _ollama(found: Engines, shown: Mapping[str, Any], whole: bool) -> Engine:
    name = found.model.names["ollama"]
    version, tags = await found.ollama("/api/version"), await found.ollama("/api/tags")
    if whole:
        _check("Ollama", found.ollama_url, {"/api/version": version, "/api/tags": tags}, "models")
    digest = next((pages.text(m, "digest") for m in pages.objects(tags.body, "models") if m.get("name") == name), "")
    flags = {key: shown.get(key) for key in ("parameters", "template", "system")}
    return Engine(
        engine="ollama", version=pages.text(version.body, "version"), model=name, model_digest=digest,
        quantization=pages.text(shown.get("details"), "quantization_level") or "unknown",
        context=found.model.context, flags_sha256=_hash(flags),
    )  # fmt: skip


async def _vllm(found: Engines, baseline: Engine, shown: Mapping[str, Any], whole: bool) -> Engine:
    name = found.model.names["vllm"]
    version, listed = await found.vllm("/version"), await found.vllm("/v1/models")
    if whole:
        _check("vLLM", found.vllm_url, {"/version": version, "/v1/models": listed}, "data")
    served: Mapping[str, Any] = next((m for m in pages.objects(listed.body, "data") if m.get("id") == name), {})
    root, window = pages.text(served, "root"), served.get("max_model_len")
    flags = {key: served.get(key) for key in ("root", "max_model_len", "parent")}
    flags |= cache_config.told(await found.vllm_metrics())
    return Engine(
        engine="vllm", version=pages.text(version.body, "version"), model=name, model_digest=folder_digest(root),
        quantization=_vllm_quantization(root, baseline, shown), context=window if type(window) is int else None,
        flags_sha256=_hash(flags),
    )  # fmt: skip


def _check(name: str, url: str, said: Mapping[str, Reached], key: str) -> None:
    """The pages of a version and of the models, which lie under `key`. Raises `NotAnEngine` for one out of shape."""
    (version_path, version), (list_path, listed) = said.items()
    if not (version.ok and pages.text(version.body, "version")):
        raise _no_engine(name, url + version_path, version, "version")
    entries = listed.body.get(key)
    if not (listed.ok and isinstance(entries, list) and len(entries) == len(pages.objects(listed.body, key))):
        raise _no_engine(name, url + list_path, listed, "list of models")


def _no_engine(name: str, url: str, said: Reached, lacks: str) -> NotAnEngine:
    """Says what was asked, what came, and where to look: mostly it is another program, or a key that is not its own."""
    setting = f"{name.upper()}_URL"
    key = " and VLLM_API_KEY" if said.status in (401, 403) else ""
    return NotAnEngine(
        f"{name} at {url} answers with status {said.status} and no {lacks}: is another program on that port? Look with "
        f"`curl {url}`, compare {setting}{key}, then `cutover status`"
    )


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _vllm_quantization(root: str, baseline: Engine, shown: Mapping[str, Any]) -> str:
    """vLLM does not tell; a local folder does: its config, or the very GGUF that Ollama serves beside it."""
    folder = Path(root)
    if not root.startswith("/") or not folder.is_dir():
        return "unknown"
    if _same_file(folder, shown):
        return f"{baseline.quantization} dequantised"
    try:
        config = pages.table(pages.parsed((folder / "config.json").read_text()))
    except (OSError, ValueError):
        return "unknown"
    method = pages.table(config.get("quantization_config")).get("quant_method")
    return str(method or config.get("dtype") or config.get("torch_dtype") or "unknown")


def _same_file(folder: Path, shown: Mapping[str, Any]) -> bool:
    """Whether a GGUF in or above the folder is, byte for byte, the blob in Ollama's Modelfile."""
    blob = re.search(r"sha256[-:]([0-9a-f]{64})", str(shown.get("modelfile") or ""))
    if blob is None:
        return False
    files = [*folder.glob("*.gguf"), *folder.parent.glob("*.gguf")]
    return any(f.stat().st_size < HASHED_AT_MOST and _digest(f) == blob.group(1) for f in files)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
