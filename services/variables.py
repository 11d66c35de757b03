"""The table of every setting: its name, its default as text, and what it means. `.env.example` is made of it."""

from __future__ import annotations

from services.variable import Variable as Variable
from services.variables_compose import COMPOSE

VARIABLES: tuple[Variable, ...] = (
    Variable(name="CUTOVER_HOME", default=".cutover", meaning="folder of everything Cutover writes"),
    Variable(
        name="CUTOVER_STATE_DIR",
        default="",
        meaning="rollout file, ledger, verdicts, raw records, reports; default $CUTOVER_HOME/state",
    ),
    Variable(
        name="CUTOVER_ENGINES_DIR",
        default="",
        meaning="engines and model that `cutover up` installs; default $CUTOVER_HOME/engines; may be shared by clones",
    ),
    Variable(name="CUTOVER_BIND", default="127.0.0.1", meaning="address that local services listen on"),
    Variable(
        name="VLLM_URL",
        default="",
        meaning="a vLLM that already runs, with or without /v1; empty: `cutover up` starts one on CUTOVER_VLLM_PORT",
    ),
    Variable(name="VLLM_API_KEY", default="", meaning="key that vLLM was started with, if any"),
    Variable(name="VLLM_API_KEY_FILE", default="", meaning="file that holds VLLM_API_KEY; compose gives one"),
    Variable(
        name="OLLAMA_URL",
        default="",
        meaning="an Ollama that already runs; empty: `cutover up` starts one on CUTOVER_OLLAMA_PORT",
    ),
    Variable(name="CUTOVER_VLLM_PORT", default="8500", meaning="port of a vLLM that `cutover up` starts"),
    Variable(name="CUTOVER_OLLAMA_PORT", default="8511", meaning="port of an Ollama that `cutover up` starts"),
    Variable(name="CUTOVER_RAG_PORT", default="8501", meaning="port of the RAG service"),
    Variable(name="CUTOVER_NOTES_PORT", default="8502", meaning="port of the Notes service"),
    Variable(name="CUTOVER_NER_PORT", default="8503", meaning="port of the NER service"),
    Variable(
        name="CUTOVER_RAG_URL",
        default="",
        meaning="where `cutover` finds RAG when it is not at its port on CUTOVER_BIND; compose sets it",
    ),
    Variable(name="CUTOVER_NOTES_URL", default="", meaning="the same for Notes"),
    Variable(name="CUTOVER_NER_URL", default="", meaning="the same for NER"),
    Variable(
        name="RAG_STORE_URL",
        default="",
        meaning="where RAG keeps what it stores: postgresql://user@host/database (docs/STORES.md) or sqlite:////file; "
        "default the file $CUTOVER_HOME/data/rag.db",
    ),
    Variable(name="RAG_STORE_URL_FILE", default="", meaning="file that holds RAG_STORE_URL, for its password"),
    Variable(name="RAG_UPLOAD_MB", default="50", meaning="megabytes that one document for RAG may have (docs/RAG.md)"),
    Variable(
        name="RAG_FETCH_PRIVATE",
        default="off",
        meaning="on: RAG may fetch documents from private and loopback addresses; off: from the internet only",
    ),
    Variable(name="NOTES_STORE_URL", default="", meaning="the same for Notes"),
    Variable(name="NOTES_STORE_URL_FILE", default="", meaning="file that holds NOTES_STORE_URL"),
    Variable(name="NER_STORE_URL", default="", meaning="the same for NER"),
    Variable(name="NER_STORE_URL_FILE", default="", meaning="file that holds NER_STORE_URL"),
    Variable(
        name="CUTOVER_MONITOR_PORT",
        default="8512",
        meaning="port of the exporter that shows stages, verdicts and engines to Prometheus (docs/MONITORING.md)",
    ),
    Variable(
        name="WEB_CONCURRENCY",
        default="1",
        meaning="worker processes of one service; more than one needs PROMETHEUS_MULTIPROC_DIR as well",
    ),
    Variable(
        name="PROMETHEUS_MULTIPROC_DIR",
        default="",
        meaning="folder in memory where several workers count together; its own for each service, emptied before each "
        "start, set before Python starts; never given to vLLM",
    ),
    Variable(
        name="CUTOVER_ENGINE_PYTHON",
        default="",
        meaning="Python that the vLLM environment is made with; default python3.11 where found, else this one",
    ),
    Variable(
        name="CUTOVER_TORCH_INDEX",
        default="https://download.pytorch.org/whl/cpu",
        meaning="index asked for the CPU build of torch where pip's own configuration has none",
    ),
    Variable(name="LLM_PROVIDER", default="auto", meaning="first provider of every service: ollama, vllm, or auto"),
    Variable(name="RAG_LLM_PROVIDER", default="", meaning="the same for RAG alone; wins over LLM_PROVIDER"),
    Variable(name="NOTES_LLM_PROVIDER", default="", meaning="the same for Notes alone"),
    Variable(name="NER_LLM_PROVIDER", default="", meaning="the same for NER alone"),
    Variable(
        name="CUTOVER_MODELS",
        default="",
        meaning="models of your own, laid over the shipped ones (docs/MODELS.md); default $CUTOVER_HOME/models.toml",
    ),
    Variable(name="LLM_MODEL", default="smollm2-135m", meaning="model alias of every service (models.toml)"),
    Variable(name="RAG_LLM_MODEL", default="", meaning="the same for RAG alone"),
    Variable(name="NOTES_LLM_MODEL", default="", meaning="the same for Notes alone"),
    Variable(name="NER_LLM_MODEL", default="", meaning="the same for NER alone"),
    Variable(
        name="EMBED_MODEL",
        default="",
        meaning="embedding model alias (minilm) for search by meaning; empty: search by words only (docs/RETRIEVAL.md)",
    ),
    Variable(
        name="EMBED_PROVIDERS",
        default="in_process",
        meaning="who embeds, in order: in_process, vllm (EMBED_VLLM_URL), ollama; all must make vectors of one space",
    ),
    Variable(
        name="EMBED_VLLM_URL",
        default="",
        meaning="a vLLM that was started with --runner pooling; in compose that of the profile embeddings, if empty",
    ),
    Variable(
        name="NOTES_AFTER_SAVE",
        default="",
        meaning="what Notes makes of a note after its save: summary, tags, or both; a save never waits (docs/NOTES.md)",
    ),
    Variable(
        name="NER_CANDIDATES",
        default="",
        meaning="spacy: an extraction also lists names that spaCy saw and the model did not, as candidates only; needs "
        "requirements/spacy.txt (docs/NER.md)",
    ),
    Variable(name="LLM_DEADLINE_S", default="120", meaning="seconds a request may take, all attempts together"),
    Variable(name="LLM_CONNECT_S", default="1", meaning="seconds to connect to an engine"),
    Variable(name="LLM_FIRST_TOKEN_S", default="45", meaning="seconds an attempt may take to its first content token"),
    Variable(name="LLM_STALL_S", default="20", meaning="seconds of silence allowed between two tokens"),
    Variable(
        name="LLM_MAX_IN_FLIGHT",
        default="32",
        meaning="most attempts that a service runs at one provider at a time; the limit finds itself below",
    ),
    Variable(
        name="LLM_MAX_QUEUED", default="64", meaning="attempts that may wait for their turn; more are told to come back"
    ),
    Variable(
        name="LLM_QUEUE_WAIT_S",
        default="20",
        meaning="seconds an attempt may wait for its turn; where it would surely take longer it is told to come back",
    ),
    Variable(
        name="LLM_EGRESS",
        default="off",
        meaning="on: prompts may leave this host, to the last resorts named below; off: none is set up",
    ),
    Variable(
        name="LLM_LAST_RESORT",
        default="",
        meaning="who is asked when no engine here answers, in order, with commas: remote, anthropic; empty: nobody",
    ),
    Variable(name="RAG_LLM_LAST_RESORT", default="", meaning="the same for RAG alone; none: nobody"),
    Variable(name="NOTES_LLM_LAST_RESORT", default="", meaning="the same for Notes alone; none: nobody"),
    Variable(name="NER_LLM_LAST_RESORT", default="", meaning="the same for NER alone; none: nobody"),
    Variable(
        name="REMOTE_VLLM_URL",
        default="",
        meaning="the last resort remote: a vLLM elsewhere; https, with or without /v1",
    ),
    Variable(name="REMOTE_VLLM_API_KEY", default="", meaning="key of that vLLM, if any"),
    Variable(name="REMOTE_VLLM_API_KEY_FILE", default="", meaning="file that holds REMOTE_VLLM_API_KEY"),
    Variable(
        name="REMOTE_VLLM_COLD_START_S",
        default="120",
        meaning="seconds to the first token of that vLLM while it may have to start, if LLM_DEADLINE_S leaves them",
    ),
    Variable(name="ANTHROPIC_URL", default="https://api.anthropic.com", meaning="the last resort anthropic; https"),
    Variable(name="ANTHROPIC_API_KEY", default="", meaning="key of the last resort anthropic"),
    Variable(name="ANTHROPIC_API_KEY_FILE", default="", meaning="file that holds ANTHROPIC_API_KEY"),
    Variable(
        name="ANTHROPIC_TOKENS_PER_DAY",
        default="0",
        meaning="tokens, in and out, that each service may spend there in one day (UTC); 0: none",
    ),
    Variable(
        name="RECORD",
        default="asked",
        meaning="asked: requests are recorded, redacted, while `cutover record` asks for it; never: whoever asks",
    ),
    Variable(name="RAG_RECORD", default="", meaning="never: as RECORD=never, for RAG alone; never wins wherever it is"),
    Variable(name="NOTES_RECORD", default="", meaning="the same for Notes alone"),
    Variable(name="NER_RECORD", default="", meaning="the same for NER alone"),
    Variable(name="LOG_LEVEL", default="info", meaning="least that services log: debug, info, warning, error"),
    Variable(name="LOG_FORMAT", default="json", meaning="json: one object a line; text: for a terminal (docs/LOGS.md)"),
    Variable(
        name="LOG_PROMPTS",
        default="0",
        meaning="1: prompts, answers and the texts of errors are logged, for debugging; said loudly in every event",
    ),
    Variable(
        name="OTEL_EXPORTER_OTLP_ENDPOINT",
        default="",
        meaning="collector that gets traces by OTLP over HTTP, like http://127.0.0.1:4318; empty: nothing is traced; "
        "needs requirements/otel.txt (docs/TRACES.md)",
    ),
    Variable(
        name="OTEL_TRACES_SAMPLER",
        default="parentbased_always_on",
        meaning="which requests are traced, by OpenTelemetry's names; parentbased_traceidratio draws where the caller "
        "did not decide",
    ),
    Variable(name="OTEL_TRACES_SAMPLER_ARG", default="1", meaning="share that the traceidratio samplers keep, 0 to 1"),
    Variable(
        name="LLM_PRICES",
        default="",
        meaning="price table of your own machines and providers; default services/llm/prices.toml (docs/COST.md)",
    ),
    Variable(
        name="ADMIN_TOKEN",
        default="",
        meaning="bearer token of /api/admin and of per-request pins; empty: both are off (`cutover up` makes one)",
    ),
    Variable(name="ADMIN_TOKEN_FILE", default="", meaning="file that holds ADMIN_TOKEN; compose gives one"),
    Variable(
        name="CUTOVER_API_KEYS_FILE",
        default="",
        meaning="API keys that the services take, by `cutover keys` (docs/API.md); once it is there, every /v1 request "
        "needs one; default $CUTOVER_STATE_DIR/api-keys.json",
    ),
    Variable(name="CUTOVER_API_KEY", default="", meaning="API key that `cutover` itself and the load tests send"),
    Variable(name="CUTOVER_API_KEY_FILE", default="", meaning="file that holds CUTOVER_API_KEY"),
    *COMPOSE,
)
