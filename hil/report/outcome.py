"""What a command of `hil` found, before it is written or drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType


@dataclass(frozen=True)
class Outcome:
    """What a command found: its JSON record, what a person sees, and the exit status."""

    record: Mapping[str, Any]
    views: Sequence[RenderableType]
    status: int = 0
