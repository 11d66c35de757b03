"""`python -m services.stack ollama|embedder`: brings what services need before they start, then ends. Compose runs it.

`ollama` gives the Ollama at OLLAMA_URL the models of the services, `embedder` fetches the files of EMBED_MODEL.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Sequence

from services.settings import Settings, SettingsError, load
from services.stack import embedder, ollama_models
from services.stack.errors import StackError
from services.stack.job import Job
from services.stack.processes import Processes
from services.stack.venvs import InstallError

USAGE, UNAVAILABLE = 64, 69

LOG = logging.getLogger("cutover.stack")


class Said:
    """A progress that is written down, a line each."""

    def begin(self, step: str, detail: str = "") -> None:
        LOG.info("%s: %s", step, detail)

    note = end = begin


def main(argv: Sequence[str]) -> int:
    """The exit code: 64 for settings that cannot be used, 69 where Ollama, the model or its files cannot be had."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        match argv:
            case ["ollama"]:
                ollama_models.provide(load(os.environ), Said(), env=os.environ)
            case ["embedder"]:
                _embedder(load(os.environ))
            case _:
                LOG.error("usage: python -m services.stack ollama|embedder")
                return USAGE
    except SettingsError as exc:
        LOG.error("%s; see .env.example", exc)
        return USAGE
    except (StackError, InstallError) as exc:
        LOG.error("%s", exc)
        return UNAVAILABLE
    return 0


def _embedder(settings: Settings) -> None:
    job = Job(
        settings=settings,
        env=os.environ,
        progress=Said(),
        processes=Processes(home=settings.home),
        cancelled=threading.Event(),
        started=[],
    )
    folder = embedder.provide(job)
    LOG.info(
        "%s: %s", embedder.STEP, folder or "none is to be fetched; search goes by words where EMBED_MODEL is empty"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
