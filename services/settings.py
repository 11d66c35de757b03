"""The only reader of the environment: every setting, its default, its meaning, and every problem at once."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

SERVICES = ("rag", "notes", "ner")
"""The services that Cutover moves, in the order of their ports. `SettingsError` names them for an unknown one."""


class Pin(enum.StrEnum):
    """Which provider a service asks first: a name pins it, `auto` follows the rollout file."""

    AUTO = "auto"
    OLLAMA = "ollama"
    VLLM = "vllm"


class SettingsError(Exception):
    """The environment holds values that cannot be used. `problems` lists all of them, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that never shows in a repr, a log or a traceback."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable: its name, its default as text, and what it means. `.env.example` is made of these."""

    name: str
    default: str
    meaning: str


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
    Variable(name="LLM_MODEL", default="smollm2-135m", meaning="model alias of every service (models.toml)"),
    Variable(name="RAG_LLM_MODEL", default="", meaning="the same for RAG alone"),
    Variable(name="NOTES_LLM_MODEL", default="", meaning="the same for Notes alone"),
    Variable(name="NER_LLM_MODEL", default="", meaning="the same for NER alone"),
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
        name="ADMIN_TOKEN",
        default="",
        meaning="bearer token of /api/admin and of per-request pins; empty: both are off (`cutover up` makes one)",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time limits in seconds and counts that bound one request. See `VARIABLES` for each meaning."""

    deadline_s: float = 120.0
    connect_s: float = 1.0
    first_token_s: float = 45.0
    stall_s: float = 20.0
    max_in_flight: int = 32
    max_queued: int = 64
    queue_wait_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration, parsed. URLs have no trailing slash and no /v1; directories are absolute."""

    home: Path
    state_dir: Path
    engines_dir: Path
    bind: str
    vllm_url: str
    vllm_is_given: bool
    vllm_api_key: Secret | None
    vllm_port: int
    ollama_url: str
    ollama_is_given: bool
    ollama_port: int
    ports: Mapping[str, int]
    engine_python: str
    torch_index: str
    pins: Mapping[str, Pin]
    aliases: Mapping[str, str]
    limits: Limits
    admin_token: Secret | None

    def service_url(self, service: str) -> str:
        """Base URL of a local service, for example `http://127.0.0.1:8501`."""
        return f"http://{self.bind}:{self.ports[service]}"

    def data_path(self, service: str) -> Path:
        """The SQLite file of a service."""
        return self.home / "data" / f"{service}.db"


def load(env: Mapping[str, str]) -> Settings:
    """Parse `env`. Raises `SettingsError` that lists every problem, not just the first."""
    return _Reader(env).settings()


class _Reader:
    def __init__(self, env: Mapping[str, str]) -> None:
        self._values = {v.name: env.get(v.name, "").strip() or v.default for v in VARIABLES}
        self._problems: list[str] = []

    def settings(self) -> Settings:
        home = Path(self._values["CUTOVER_HOME"]).expanduser().absolute()
        bind = self._values["CUTOVER_BIND"]
        vllm_port, ollama_port = self._port("CUTOVER_VLLM_PORT"), self._port("CUTOVER_OLLAMA_PORT")
        ports = {s: self._port(f"CUTOVER_{s.upper()}_PORT") for s in SERVICES}
        self._distinct({"CUTOVER_VLLM_PORT": vllm_port, "CUTOVER_OLLAMA_PORT": ollama_port}, ports)
        settings = Settings(
            home=home,
            state_dir=self._folder("CUTOVER_STATE_DIR", home / "state"),
            engines_dir=self._folder("CUTOVER_ENGINES_DIR", home / "engines"),
            bind=bind,
            vllm_url=self._url("VLLM_URL") or f"http://127.0.0.1:{vllm_port}",
            vllm_is_given=bool(self._values["VLLM_URL"]),
            vllm_api_key=self._secret("VLLM_API_KEY"),
            vllm_port=vllm_port,
            ollama_url=self._url("OLLAMA_URL") or f"http://127.0.0.1:{ollama_port}",
            ollama_is_given=bool(self._values["OLLAMA_URL"]),
            ollama_port=ollama_port,
            ports=ports,
            engine_python=self._values["CUTOVER_ENGINE_PYTHON"],
            torch_index=self._values["CUTOVER_TORCH_INDEX"],
            pins={s: self._pin(s) for s in SERVICES},
            aliases={s: self._values[f"{s.upper()}_LLM_MODEL"] or self._values["LLM_MODEL"] for s in SERVICES},
            limits=self._limits(),
            admin_token=self._secret("ADMIN_TOKEN"),
        )
        if self._problems:
            raise SettingsError(self._problems)
        return settings

    def _folder(self, name: str, default: Path) -> Path:
        return Path(self._values[name]).expanduser().absolute() if self._values[name] else default

    def _secret(self, name: str) -> Secret | None:
        return Secret(self._values[name]) if self._values[name] else None

    def _port(self, name: str) -> int:
        text = self._values[name]
        if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
            return int(text)
        self._problems.append(f"{name}={text!r} is not a port; use a number from 1 to 65535")
        return 0

    def _distinct(self, engines: Mapping[str, int], services: Mapping[str, int]) -> None:
        named = {**engines, **{f"CUTOVER_{s.upper()}_PORT": p for s, p in services.items()}}
        by_port: dict[int, list[str]] = {}
        for name, port in named.items():
            by_port.setdefault(port, []).append(name)
        for port, names in by_port.items():
            if port and len(names) > 1:
                self._problems.append(f"{' and '.join(names)} are both {port}; give each its own")

    def _url(self, name: str) -> str:
        text = self._values[name].rstrip("/").removesuffix("/v1")
        if not text:
            return ""
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            self._problems.append(f"{name}={text!r} is not a URL; write it like http://127.0.0.1:8000")
        return text

    def _pin(self, service: str) -> Pin:
        name = f"{service.upper()}_LLM_PROVIDER"
        text = self._values[name]
        if not text:
            name, text = "LLM_PROVIDER", self._values["LLM_PROVIDER"]
        try:
            return Pin(text)
        except ValueError:
            problem = f"{name}={text!r} is not a provider; use one of {', '.join(Pin)}"
            if problem not in self._problems:
                self._problems.append(problem)
            return Pin.AUTO

    def _limits(self) -> Limits:
        return Limits(
            deadline_s=self._positive("LLM_DEADLINE_S"),
            connect_s=self._positive("LLM_CONNECT_S"),
            first_token_s=self._positive("LLM_FIRST_TOKEN_S"),
            stall_s=self._positive("LLM_STALL_S"),
            max_in_flight=int(self._positive("LLM_MAX_IN_FLIGHT", whole=True)),
            max_queued=int(self._positive("LLM_MAX_QUEUED", whole=True)),
            queue_wait_s=self._positive("LLM_QUEUE_WAIT_S"),
        )

    def _positive(self, name: str, *, whole: bool = False) -> float:
        text = self._values[name]
        try:
            value = float(int(text)) if whole else float(text)
        except ValueError:
            value = 0.0
        if 0 < value < 1e9:  # also refuses nan and inf
            return value
        self._problems.append(f"{name}={text!r} is not a positive {'whole number' if whole else 'number'}")
        return 1.0
