"""Numbers of a command line: each refuses what it is not by a sentence that argparse shows."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def seconds(text: str, least: float = 0.2, most: float = 3600) -> float:
    """A time in seconds within bounds."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not least <= found <= most:  # also refuses nan
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {least:g} to {most:g}")
    return found
