"""The only reader of the environment: every setting, its default, its meaning, and every problem at once."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services import after_save, api_keys, embedding, may_record, name_candidates, store_urls, uploads
from services.addresses import base, is_open
from services.secret_files import secret
from services.telemetry import Telemetry, parse
from services.variables import VARIABLES as VARIABLES
from services.variables import Variable as Variable

SERVICES = ("rag", "notes", "ner")
"""The services that Cutover moves, in the order of their ports. `SettingsError` names them for an unknown one."""


class Pin(enum.StrEnum):
    """Which provider a service asks first: a name pins it, `auto` follows the rollout file."""

    AUTO = "auto"
    OLLAMA = "ollama"
    VLLM = "vllm"


class Resort(enum.StrEnum):
    """A provider behind all others. Asking it means that a prompt leaves this host."""

    REMOTE = "remote"
    ANTHROPIC = "anthropic"


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
class LastResorts:
    """Which service may ask whom outside, in order, and how. `chains` by service; nothing else is ever built from it.

    `anthropic_tokens` per service and day (UTC), in and out; `remote_cold_start_s` in seconds.
    """

    chains: Mapping[str, tuple[Resort, ...]]
    remote_url: str
    remote_key: Secret | None
    remote_cold_start_s: float
    anthropic_url: str
    anthropic_key: Secret | None
    anthropic_tokens: int


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
    given_urls: Mapping[str, str]
    engine_python: str
    torch_index: str
    pins: Mapping[str, Pin]
    aliases: Mapping[str, str]
    models_file: Path
    limits: Limits
    last_resorts: LastResorts
    may_record: Mapping[str, bool]
    admin_token: Secret | None
    api_keys: api_keys.ApiKeys
    telemetry: Telemetry
    embedding: embedding.Embedding
    after_save: tuple[str, ...]
    name_candidates: str
    stores: store_urls.Stores
    uploads: uploads.Uploads
    monitor_port: int
    metrics_dir: Path | None

    def service_url(self, service: str) -> str:
        """Base URL of a service, for example `http://127.0.0.1:8501`."""
        return self.given_urls[service] or f"http://{self.bind}:{self.ports[service]}"


def load(env: Mapping[str, str]) -> Settings:
    """Parse `env`. Raises `SettingsError` that lists every problem, not just the first."""
    reader = _Reader(env)
    settings = reader.settings()
    if reader.problems:
        raise SettingsError(reader.problems)
    return settings


class _Reader:
    def __init__(self, env: Mapping[str, str]) -> None:
        self._values = {v.name: env.get(v.name, "").strip() or v.default for v in VARIABLES}
        self.problems: list[str] = []

    def settings(self) -> Settings:
        home = Path(self._values["CUTOVER_HOME"]).expanduser().absolute()
        vllm_port, ollama_port = self._port("CUTOVER_VLLM_PORT"), self._port("CUTOVER_OLLAMA_PORT")
        ports = {s: self._port(f"CUTOVER_{s.upper()}_PORT") for s in SERVICES}
        monitor_port = self._port("CUTOVER_MONITOR_PORT")
        self._distinct({"vllm": vllm_port, "ollama": ollama_port, "monitor": monitor_port, **ports})
        return Settings(
            home=home,
            state_dir=self._folder("CUTOVER_STATE_DIR", home / "state"),
            engines_dir=self._folder("CUTOVER_ENGINES_DIR", home / "engines"),
            bind=self._values["CUTOVER_BIND"],
            vllm_url=self._url("VLLM_URL") or f"http://127.0.0.1:{vllm_port}",
            vllm_is_given=bool(self._values["VLLM_URL"]),
            vllm_api_key=self._secret("VLLM_API_KEY"),
            vllm_port=vllm_port,
            ollama_url=self._url("OLLAMA_URL") or f"http://127.0.0.1:{ollama_port}",
            ollama_is_given=bool(self._values["OLLAMA_URL"]),
            ollama_port=ollama_port,
            ports=ports,
            given_urls={s: self._url(f"CUTOVER_{s.upper()}_URL") for s in SERVICES},
            engine_python=self._values["CUTOVER_ENGINE_PYTHON"],
            torch_index=self._values["CUTOVER_TORCH_INDEX"],
            pins={s: self._pin(s) for s in SERVICES},
            aliases={s: self._values[f"{s.upper()}_LLM_MODEL"] or self._values["LLM_MODEL"] for s in SERVICES},
            models_file=self._folder("CUTOVER_MODELS", home / "models.toml"),
            limits=self._limits(),
            last_resorts=self._last_resorts(),
            may_record=may_record.parse(self._values, SERVICES, self.problems),
            admin_token=self._secret("ADMIN_TOKEN"),
            api_keys=api_keys.parse(self._values, self._folder("CUTOVER_STATE_DIR", home / "state"), self.problems),
            telemetry=parse(self._values, self.problems),
            embedding=embedding.parse(self._values, self.problems),
            name_candidates=name_candidates.parse(self._values, self.problems),
            after_save=after_save.parse(self._values, self.problems),
            stores=store_urls.parse(self._values, home, SERVICES, self.problems),
            uploads=uploads.parse(self._values, self.problems),
            monitor_port=monitor_port,
            metrics_dir=self._metrics_dir(),
        )

    def _folder(self, name: str, default: Path) -> Path:
        return Path(self._values[name]).expanduser().absolute() if self._values[name] else default

    def _metrics_dir(self) -> Path | None:
        """Where several workers count together. They must: alone each would show its own part, in turns."""
        folder = self._values["PROMETHEUS_MULTIPROC_DIR"]
        if not folder and self._positive("WEB_CONCURRENCY", whole=True) > 1:
            self.problems.append(
                "WEB_CONCURRENCY is more than 1, and PROMETHEUS_MULTIPROC_DIR is not set; give each service a folder"
            )
        return Path(folder).absolute() if folder else None

    def _secret(self, name: str) -> Secret | None:
        text = secret(name, self._values, self.problems)
        return Secret(text) if text else None

    def _port(self, name: str) -> int:
        text = self._values[name]
        if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
            return int(text)
        self.problems.append(f"{name}={text!r} is not a port; use a number from 1 to 65535")
        return 0

    def _distinct(self, ports: Mapping[str, int]) -> None:
        """An engine that is given by its URL takes no port."""
        given = {who for who in ("vllm", "ollama") if self._values[f"{who.upper()}_URL"]}
        named = {f"CUTOVER_{who.upper()}_PORT": port for who, port in ports.items() if who not in given}
        for port in dict.fromkeys(port for port in named.values() if port):
            names = [name for name, at in named.items() if at == port]
            if len(names) > 1:
                self.problems.append(f"{' and '.join(names)} are both {port}; give each its own")

    def _url(self, name: str) -> str:
        found = base(self._values[name])
        if found is None:
            self.problems.append(f"{name}={self._values[name]!r} is not a URL; write it like http://127.0.0.1:8000")
        return found or ""

    def _pin(self, service: str) -> Pin:
        name = f"{service.upper()}_LLM_PROVIDER"
        name = name if self._values[name] else "LLM_PROVIDER"
        text = self._values[name]
        try:
            return Pin(text)
        except ValueError:
            problem = f"{name}={text!r} is not a provider; use one of {', '.join(Pin)}"
            if problem not in self.problems:
                self.problems.append(problem)
            return Pin.AUTO

    def _last_resorts(self) -> LastResorts:
        found = LastResorts(
            chains={s: self._resorts(s) for s in SERVICES},
            remote_url=self._url("REMOTE_VLLM_URL"),
            remote_key=self._secret("REMOTE_VLLM_API_KEY"),
            remote_cold_start_s=self._positive("REMOTE_VLLM_COLD_START_S"),
            anthropic_url=self._url("ANTHROPIC_URL"),
            anthropic_key=self._secret("ANTHROPIC_API_KEY"),
            anthropic_tokens=self._count("ANTHROPIC_TOKENS_PER_DAY"),
        )
        named = {resort for chain in found.chains.values() for resort in chain}
        wrong = {
            "LLM_EGRESS must be on or off": self._values["LLM_EGRESS"] not in ("on", "off"),
            f"a last resort is named ({', '.join(sorted(named))}) and LLM_EGRESS is not on; set LLM_EGRESS=on to let "
            "prompts leave this host, or name none": bool(named) and self._values["LLM_EGRESS"] == "off",
            "the last resort remote has no address; set REMOTE_VLLM_URL": Resort.REMOTE in named
            and not self._values["REMOTE_VLLM_URL"],
            "the last resort anthropic has no key; set ANTHROPIC_API_KEY": Resort.ANTHROPIC in named
            and found.anthropic_key is None,
            "the last resort anthropic may spend nothing; set ANTHROPIC_TOKENS_PER_DAY": Resort.ANTHROPIC in named
            and not self._values["ANTHROPIC_TOKENS_PER_DAY"].strip("0"),
            "REMOTE_VLLM_URL sends prompts and key unencrypted; write https://": is_open(found.remote_url),
            "ANTHROPIC_URL sends prompts and key unencrypted; write https://": is_open(found.anthropic_url),
        }
        self.problems += [problem for problem, holds in wrong.items() if holds]
        return found

    def _resorts(self, service: str) -> tuple[Resort, ...]:
        name = f"{service.upper()}_LLM_LAST_RESORT"
        name = name if self._values[name] else "LLM_LAST_RESORT"
        text = self._values[name]
        names = [] if text in ("", "none") else [part.strip() for part in text.split(",")]
        try:
            found = tuple(Resort(part) for part in names)
        except ValueError:
            problem = f"{name}={text!r} is not a list of last resorts; use {', '.join(Resort)}, or none"
        else:
            if len(set(found)) == len(found):
                return found
            problem = f"{name}={text!r} names one twice"
        if problem not in self.problems:
            self.problems.append(problem)
        return ()

    def _count(self, name: str) -> int:
        text = self._values[name]
        if text.isascii() and text.isdigit():
            return int(text)
        self.problems.append(f"{name}={text!r} is not a whole number; 0 means none")
        return 0

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
        self.problems.append(f"{name}={text!r} is not a positive {'whole number' if whole else 'number'}")
        return 1.0
