"""Builds what a service may ask outside this host: nothing that the settings do not name, each behind its meter."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.llm.budget import Budget
from services.llm.errors import BudgetError
from services.llm.measures import BeforeEach, Definition, made
from services.llm.metered import Metered, Outside
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import Model, RegistryError
from services.settings import Resort, Settings, SettingsError

CONNECT_S = 5.0
"""Seconds to connect, at least: names, TLS and the way there take longer than the next container."""

INSTALL = "python -m pip install --require-hashes -r requirements/anthropic.txt"

ENGINES = {Resort.REMOTE: "vllm", Resort.ANTHROPIC: "anthropic"}

PAID = (
    Definition(
        name="llm_paid_tokens_total",
        kind="counter",
        labels=("service", "provider"),
        help="Tokens sent to and received from providers outside, as the budget counts them",
    ),
    Definition(
        name="llm_paid_budget_tokens",
        kind="gauge",
        labels=("service",),
        help="Tokens that the service may still spend at Anthropic today (UTC)",
        workers="livemin",
    ),
)


def outside(
    settings: Settings, service: str, entry: Model, known: Mapping[str, Model], registry: CollectorRegistry
) -> tuple[Metered, ...]:
    """The last resorts of `service`, which chats with `entry`, in order; empty without any. Metrics in `registry`.

    Raises `RegistryError` where the model has no name there, `SettingsError` where an SDK is not installed.
    """
    before = BeforeEach()
    registry.register(before)
    spent, left = (made(definition, registry) for definition in PAID)
    assert isinstance(spent, Counter) and isinstance(left, Gauge)
    counters = {resort: spent.labels(service, resort) for resort in Resort}  # all of them: a zero is a proof
    left_here = left.labels(service)
    found = []
    for resort in settings.last_resorts.chains[service]:
        _check_name(entry, resort)
        match resort:
            case Resort.REMOTE:
                found.append(Metered(_remote(settings, known), on_spent=counters[resort].inc))
            case Resort.ANTHROPIC:
                path = settings.state_dir / f"spent-{service}.json"
                budget = Budget(path, per_day=settings.last_resorts.anthropic_tokens, provider=resort)
                before.todo.append(_showing(left_here, budget))
                found.append(Metered(_anthropic(settings, known), on_spent=counters[resort].inc, budget=budget))
    return tuple(found)


def _check_name(entry: Model, resort: Resort) -> None:
    engine = ENGINES[resort]
    if engine not in entry.names:
        raise RegistryError(
            f"the model {entry.alias!r} has no name at the last resort {resort}; add `{engine} = ...` to its entry in "
            "models.toml, or do not name that last resort"
        )


def _remote(settings: Settings, known: Mapping[str, Model]) -> Outside:
    told = settings.last_resorts
    return OpenAICompat(
        name=Resort.REMOTE,
        url=told.remote_url,
        models=known,
        connect_s=max(CONNECT_S, settings.limits.connect_s),
        api_key=told.remote_key.value if told.remote_key else None,
        cold_start_s=told.remote_cold_start_s,
    )


def _anthropic(settings: Settings, known: Mapping[str, Model]) -> Outside:
    """Imported here, so that whoever does not ask it neither needs its SDK nor waits a second for it."""
    try:
        from services.llm.providers.anthropic import Anthropic
    except ModuleNotFoundError as exc:
        if exc.name != "anthropic":
            raise
        raise SettingsError([f"the last resort anthropic needs its SDK; install it: {INSTALL}"]) from exc
    told = settings.last_resorts
    return Anthropic(
        name=Resort.ANTHROPIC,
        url=told.anthropic_url,
        models=known,
        connect_s=max(CONNECT_S, settings.limits.connect_s),
        api_key=told.anthropic_key.value if told.anthropic_key else "",
    )


def _showing(left_here: Gauge, budget: Budget) -> Callable[[], None]:
    def show() -> None:
        try:
            left_here.set(max(0, budget.per_day - budget.spent()))
        except BudgetError:  # nobody can tell, so nothing may be spent
            left_here.set(0)

    return show
