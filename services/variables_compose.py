"""The settings that compose alone reads: images, devices, memory, ports of the boards. No Python of ours does."""

from __future__ import annotations

from services.variable import Variable

COMPOSE: tuple[Variable, ...] = (
    Variable(
        name="CUTOVER_SECRETS",
        default="./.cutover/secrets",
        meaning="compose: folder with the files admin_token, vllm_api_key and, for Grafana, grafana_password",
    ),
    Variable(
        name="CUTOVER_OFFLINE",
        default="false",
        meaning="compose: true cuts the engines off from the outside; set it when their models are there",
    ),
    Variable(
        name="CUTOVER_MODEL_FILES",
        default="models",
        meaning="compose: folder of the host with model files, in place of a volume; vLLM sees it as /models",
    ),
    Variable(
        name="CUTOVER_IMAGE",
        default="cutover/services:0.1.0",
        meaning="compose: name of the image of our Python, which it builds where it is missing",
    ),
    Variable(name="BASE_IMAGE", default="python:3.13.7-slim-trixie", meaning="compose: what that image is built on"),
    Variable(
        name="EXTRAS",
        default="",
        meaning="compose: further locks of requirements/ in that image: anthropic, otel, spacy",
    ),
    Variable(
        name="VLLM_DEVICE",
        default="gpu",
        meaning="compose: gpu or cpu, for vLLM (docs/VLLM_IMAGE.md for the CUTOVER_VLLM_* that it takes)",
    ),
    Variable(
        name="VLLM_IMAGE",
        default="cutover/vllm:0.32.0",
        meaning="compose: name of the vLLM image, which it builds where it is missing",
    ),
    Variable(
        name="VLLM_BASE_IMAGE",
        default="nvidia/cuda:13.0.2-base-ubuntu24.04",
        meaning="compose: what that image is built on",
    ),
    Variable(
        name="VLLM_PACKAGE",
        default="vllm==0.32.0",
        meaning="compose: the vLLM in it, as a lock in requirements/ has it",
    ),
    Variable(
        name="VLLM_TORCH_INDEX",
        default="",
        meaning="compose: where its build also looks for torch; needed for the CPU build only",
    ),
    Variable(name="VLLM_MEMORY", default="32G", meaning="compose: most memory of the vLLM container, beside the GPU's"),
    Variable(name="HF_TOKEN_FILE", default="", meaning="compose: file with a Hugging Face token, for gated models"),
    Variable(
        name="OLLAMA_DEVICE",
        default="cpu",
        meaning="compose: gpu or cpu, for Ollama; on gpu tell vLLM with CUTOVER_VLLM_OLLAMA_RESIDENT what to leave",
    ),
    Variable(name="OLLAMA_IMAGE", default="ollama/ollama:0.32.13", meaning="compose: the Ollama image"),
    Variable(
        name="OLLAMA_MEMORY", default="16G", meaning="compose: most memory of the Ollama container, beside the GPU's"
    ),
    Variable(
        name="OLLAMA_NUM_PARALLEL",
        default="1",
        meaning="compose: requests that Ollama works on at a time; each takes a window of memory",
    ),
    Variable(name="PROMETHEUS_IMAGE", default="prom/prometheus:v3.13.2", meaning="compose: the Prometheus image"),
    Variable(name="ALERTMANAGER_IMAGE", default="prom/alertmanager:v0.34.0", meaning="compose: the Alertmanager image"),
    Variable(name="GRAFANA_IMAGE", default="grafana/grafana:13.2.0", meaning="compose: the Grafana image"),
    Variable(
        name="DCGM_IMAGE",
        default="nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless",
        meaning="compose: the image of NVIDIA's exporter",
    ),
    Variable(
        name="POSTGRES_IMAGE",
        default="pgvector/pgvector:0.8.1-pg17-trixie",
        meaning="compose: the image of PostgreSQL with pgvector",
    ),
    Variable(name="POSTGRES_MEMORY", default="4G", meaning="compose: most memory of the PostgreSQL container"),
    Variable(
        name="POSTGRES_SHARED_BUFFERS",
        default="1GB",
        meaning="compose: what of that PostgreSQL keeps pages in; a search is slower where the store's do not fit",
    ),
    Variable(name="CUTOVER_PROMETHEUS_PORT", default="9090", meaning="compose: port of Prometheus on CUTOVER_BIND"),
    Variable(name="CUTOVER_ALERTMANAGER_PORT", default="9093", meaning="compose: port of Alertmanager on CUTOVER_BIND"),
    Variable(name="CUTOVER_GRAFANA_PORT", default="3000", meaning="compose: port of Grafana on CUTOVER_BIND"),
)
