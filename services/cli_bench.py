"""`cutover bench`: chooses the measurement by its flag. What each of them does is in `cli_sweep` and its neighbours."""

from __future__ import annotations

import argparse

from services import cli_bench_agree, cli_bench_ingest, cli_bench_search, cli_memory, cli_sweep
from services.cli_commands import Call, Result


def options(verb: argparse.ArgumentParser) -> None:
    """The options of every measurement."""
    cli_sweep.options(verb)
    cli_memory.options(verb)
    cli_bench_agree.options(verb)
    cli_bench_search.options(verb)
    cli_bench_ingest.options(verb)


def missing(arguments: argparse.Namespace) -> str | None:
    """What the arguments lack, for a usage error."""
    if arguments.ingest:
        return cli_bench_ingest.missing(arguments)
    if arguments.search:
        return cli_bench_search.missing(arguments)
    if arguments.service is None:
        return "bench needs a SERVICE"
    if arguments.memory:
        return cli_memory.missing(arguments)
    if arguments.agree:
        return cli_bench_agree.missing(arguments)
    if bool(arguments.sweep) == bool(arguments.raw):
        return "bench needs --sweep, --memory, --agree, --search, --ingest, or --from RAW"
    return cli_sweep.missing(arguments)


def bench(call: Call) -> Result:
    """The measurement that was asked for."""
    if call.arguments.ingest:
        return cli_bench_ingest.ingest(call)
    if call.arguments.search:
        return cli_bench_search.search(call)
    if call.arguments.memory:
        return cli_memory.memory(call)
    if call.arguments.agree:
        return cli_bench_agree.agree(call)
    return cli_sweep.computed(call) if call.arguments.raw else cli_sweep.measured(call)
