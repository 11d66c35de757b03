"""Run by the Python that has vLLM: parses lists of arguments as `vllm serve` does, and tells which it refuses.

stdin: `{"name": [word, ...]}` without the command; stdout, last line: `{"refused": {name: why}, "options": [...]}`.
`--toml` writes the options as services/llm/serving/options.toml instead.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any


def main() -> None:
    """vLLM's own parser and its two checks that need no engine. Its imports print, so ours is the last line."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.entrypoints.launchers.launcher import validate_api_server_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
    refused = {}
    for name, words in json.load(sys.stdin).items():
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                parsed = parser.parse_args(words)
            validate_parsed_serve_args(parsed)
            validate_api_server_args(parsed)
        except SystemExit:
            refused[name] = said.getvalue().strip().splitlines()[-1]
        except (KeyError, TypeError, ValueError) as exc:
            refused[name] = str(exc)
    sys.stdout.write("\n" + json.dumps({"refused": refused, "options": options(parser)}) + "\n")


def options(parser: Any) -> list[str]:
    """Every spelling that the parser knows: `--long`, `--no-long`, `-s`."""
    return sorted(parser._option_string_actions)


def toml() -> str:
    """What services/llm/serving/options.toml holds."""
    import vllm
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    lines = [f'    "{option}",' for option in options(make_arg_parser(FlexibleArgumentParser()))]
    head = f"# The options of vLLM {vllm.__version__}; options.py says how this is written.\noptions = ["
    return "\n".join([head, *lines, "]"]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(toml()) if sys.argv[1:] == ["--toml"] else main()
