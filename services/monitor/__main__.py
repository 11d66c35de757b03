"""`python -m services.monitor`: serves the exporter's page on CUTOVER_MONITOR_PORT until it is told to stop.

With `--prometheus FILE` it writes a Prometheus configuration for this machine instead, and ends.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from prometheus_client import start_http_server

from services.migration.errors import MigrationError
from services.monitor import here
from services.monitor.exporter import registry
from services.settings import SettingsError, load

USAGE = 64


def main() -> int:
    """Serve. Gives the exit code: 64 for settings that cannot be used, 1 for a port that is taken."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    log = logging.getLogger("cutover.monitor")
    parser = argparse.ArgumentParser(prog="python -m services.monitor", description=__doc__)
    parser.add_argument("--prometheus", type=Path, metavar="FILE", help="write this machine's configuration and end")
    wanted = parser.parse_args()
    if wanted.prometheus:
        return _configure(wanted.prometheus, log)
    try:
        settings = load(os.environ)
        server, _ = start_http_server(settings.monitor_port, addr=settings.bind, registry=registry(settings))
    except (SettingsError, MigrationError) as exc:
        log.error("%s; see .env.example", exc)
        return USAGE
    except OSError as exc:
        log.error("port %d: %s; choose another with CUTOVER_MONITOR_PORT", settings.monitor_port, exc.strerror)
        return 1
    log.info("exporter on http://%s:%d/metrics", settings.bind, settings.monitor_port)
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    told.wait()
    server.shutdown()
    return 0


def _configure(file: Path, log: logging.Logger) -> int:
    try:
        here.write(load(os.environ), file)
    except (SettingsError, here.TargetError) as exc:
        log.error("%s", exc)
        return USAGE
    except OSError as exc:
        log.error(
            "%s: %s; run it in the folder of the clone, with a FILE that can be written", exc.filename, exc.strerror
        )
        return 1
    log.info(
        "prometheus --config.file=%s --storage.tsdb.path=%s --storage.tsdb.retention.time=35d",
        file,
        file.parent / "tsdb",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
