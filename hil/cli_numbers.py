"""Numbers on the command line, parsed and bounded."""

from __future__ import annotations

import argparse
from typing import Any


def count(least: int) -> Any:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= value <= 1_000_000_000:
            raise argparse.ArgumentTypeError(f"{value} is not in {least}..1000000000")
        return value

    parse.__name__ = "count"
    return parse


def microseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < 1e12:  # nor nan
        raise argparse.ArgumentTypeError(f"{text} is not a time in microseconds")
    return value
