"""`python -m services.stack`: gives the Ollama at OLLAMA_URL the models of the services, then ends. Compose runs it."""

from __future__ import annotations

import logging
import os
import sys

from services.settings import SettingsError, load
from services.stack import ollama_models
from services.stack.errors import StackError
from services.stack.venvs import InstallError

USAGE, UNAVAILABLE = 64, 69

LOG = logging.getLogger("cutover.stack")


class Said:
    """A progress that is written down, a line each."""

    def begin(self, step: str, detail: str = "") -> None:
        LOG.info("%s: %s", step, detail)

    note = end = begin


def main() -> int:
    """The exit code: 64 for settings that cannot be used, 69 where Ollama or the model cannot be had."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        ollama_models.provide(load(os.environ), Said(), env=os.environ)
    except SettingsError as exc:
        LOG.error("%s; see .env.example", exc)
        return USAGE
    except (StackError, InstallError) as exc:
        LOG.error("%s", exc)
        return UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
