"""`python -m services.migration ENGINE [LINE]`: acts on an engine in this stack's ledger, or one more of them.

The ledger of a compose stack is in a volume of its own, where only its containers write: `cutover revive`, which needs
Docker and therefore runs on the host, asks a service's container to do it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence

from services.migration import acts, ledger
from services.migration.errors import MigrationError
from services.settings import SettingsError, load

USAGE = 64
LOG = logging.getLogger("cutover.acts")


def main(argv: Sequence[str]) -> int:
    """Prints a JSON list of the engine's acts, or of the one just written; the exit code is the error's own."""
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    try:
        engine, *line = argv
        state_dir = load(os.environ).state_dir
        found = [acts.write(state_dir, engine, **json.loads(line[0]))] if line else acts.past(state_dir, engine)
    except (SettingsError, ValueError, TypeError) as exc:
        LOG.error("%s", exc)
        return USAGE
    except MigrationError as exc:
        LOG.error("%s", exc)
        return exc.exit_code
    LOG.info("%s", json.dumps([ledger.document(entry) for entry in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
