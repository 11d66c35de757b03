"""The same MiniLM weights in process, on vLLM pooling and on Ollama make the same vectors, so a fallback may follow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from services import settings as settings_room
from services.embedding import EmbedProvider
from services.llm.build import client_for
from services.llm.registry import model
from services.llm.serving.variables import PREFIX
from services.llm.spaces import EmbedRequest
from services.settings import Settings
from services.stack import embedder, local, ollama, ready, vllm
from services.stack.engines import death, local_model
from services.stack.job import PROJECT, Job, Launch
from tests.conftest import free_ports

pytestmark = pytest.mark.engines

ALIAS = "minilm"
SAME = 0.999
KINDS = (".json", ".safetensors")
TEXTS = (
    "How do I create a stand-alone binary from a Python script?",
    "E: Unable to locate package pgvector",
    "os.path.join(path, *paths)",
    "Ein Lüfter brummt, 中文, naïve café, Ω ≈ 3.14",
    "x",
    "The nightly backup of rack B starts at 02:40. " * 60,  # three windows: cut on our side, or they would differ
    "supercalifragilisticexpialidocious" * 20,
)


@pytest.fixture(scope="module")
def env(child_env: dict[str, str]) -> dict[str, str]:
    """Ports of their own: the session's engines may be up."""
    pooling, other = free_ports(2)
    return {
        **child_env,
        "CUTOVER_HOME": f"{child_env['CUTOVER_HOME']}/embeddings",
        "CUTOVER_VLLM_PORT": str(pooling),
        "CUTOVER_OLLAMA_PORT": str(other),
        "EMBED_MODEL": ALIAS,
        "EMBED_VLLM_URL": f"http://127.0.0.1:{pooling}",
    }


@pytest.fixture(scope="module")
def job(env: dict[str, str], progress: local.Progress) -> Iterator[Job]:
    """What starts engines; whatever it started is stopped, each by its record."""
    with local.work(settings_room.load(env), progress, env) as made:
        try:
            yield made
        finally:
            for name in made.started:
                made.processes.stop(name)


async def vectors(settings: Settings, provider: str) -> list[tuple[float, ...]]:
    """By the client that services have, from one provider alone."""
    chosen = EmbedProvider(provider)
    here = replace(settings, embedding=replace(settings.embedding, providers=(chosen,)))
    async with client_for(here, "rag", CollectorRegistry()) as client:
        asked = EmbedRequest(service="rag", alias=ALIAS, texts=TEXTS, deadline_s=300)
        return list((await client.embed(asked)).vectors)


def cosines(a: Sequence[tuple[float, ...]], b: Sequence[tuple[float, ...]]) -> list[float]:
    return [sum(p * q for p, q in zip(x, y, strict=True)) for x, y in zip(a, b, strict=True)]


def started(job: Job, launch: Launch, check: ready.Check) -> None:
    record = job.start(launch)
    ready.wait(
        f"{launch.name} (log {record.log})",
        check,
        died=lambda: death(job, launch.name, record),
        deadline_s=600,
        cancelled=job.cancelled,
    )


def pooling(job: Job) -> Launch:
    """vLLM as its image starts it: by the entrypoint, with the Python of the vLLM that `cutover up` would take."""
    plain = vllm.prepare(job, local_model(job.settings))
    command = Path(plain.argv[0])
    python = command.with_name("python") if command.name == "vllm" else command
    told = {"PYTHON": str(python), "HOST": "127.0.0.1", "MODEL_FILES": str(job.settings.engines_dir / "models")}
    env = {**plain.env, **{f"{PREFIX}{name}": value for name, value in told.items()}}
    return replace(plain, argv=(str(PROJECT / "vllm-entrypoint.sh"), ALIAS), env=env)


async def test_vllm_pooling_makes_the_vectors_that_this_process_makes(job: Job) -> None:
    """Float32 on both sides, texts longer than the window among them."""
    embedder.fetched(job, model(ALIAS))
    launch = pooling(job)
    started(job, launch, ready.answers(f"{job.settings.embedding.vllm_url}/health"))

    ours, theirs = await vectors(job.settings, "in_process"), await vectors(job.settings, "vllm")
    job.processes.stop(launch.name)

    assert min(cosines(ours, theirs)) >= SAME


async def test_ollama_makes_the_vectors_that_this_process_makes(job: Job) -> None:
    """Made from the same files by its API: its command line loses the folder that says how to pool."""
    folder = embedder.fetched(job, model(ALIAS))
    started(job, ollama.prepare(job, local_model(job.settings)), ready.ollama_listens(job.settings))
    async with httpx2.AsyncClient(base_url=job.settings.ollama_url, timeout=300, trust_env=False) as http:
        files = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.suffix in KINDS}
        digests = {name: await uploaded(http, data) for name, data in files.items()}
        body = {"model": f"{ALIAS}:latest", "files": digests, "stream": False}
        assert (await http.post("/api/create", json=body)).status_code == 200

    ours, theirs = await vectors(job.settings, "in_process"), await vectors(job.settings, "ollama")

    assert min(cosines(ours, theirs)) >= SAME


async def uploaded(http: httpx2.AsyncClient, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (await http.post(f"/api/blobs/{digest}", content=data)).status_code == 201
    return digest
