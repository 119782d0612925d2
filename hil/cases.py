"""What to test: each model on each board with each number of cores, under a stable id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hil import board as boards
from hil.errors import UsageError
from hil.model.zoo import ZooModel, load_zoo
from hil.paths import ZOO
from hil.record import NO_LIMITS, Limits


@dataclass(frozen=True)
class Model:
    """A model to test: a file, with limits and an accuracy set where the zoo has them."""

    name: str
    path: Path
    zoo: ZooModel | None = None

    def limits(self, board: str) -> Limits:
        """The recorded limits on a board; none for a model that has none recorded."""
        found = self.zoo.limits.get(board) if self.zoo else None
        return Limits(found.latency_us, found.ram_bytes) if found else NO_LIMITS


@dataclass(frozen=True)
class Case:
    """One deployment to test."""

    model: Model
    board: str
    cores: int = 1

    @property
    def id(self) -> str:
        return f"{self.model.name}-{self.board}-{self.cores}core"


def board_names(values: Sequence[str]) -> tuple[str, ...]:
    """Names from `--board` (repeated, or with commas), each known. Raises `UsageError`."""
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    if values and not names:
        raise UsageError("--board names no board", hint="hil boards")
    for name in names:
        boards.load(name)
    return tuple(dict.fromkeys(names))


def models(paths: Sequence[Path], zoos: Sequence[Path], *, builtin: bool) -> tuple[Model, ...]:
    """The built-in zoo (if asked for), other zoos, and single files, in that order. Names are made unique.

    Raises `UsageError` for a path that is not there.
    """
    found: list[Model] = []
    for folder in [*([ZOO] if builtin else []), *zoos]:
        if not folder.is_dir():
            raise UsageError(f"no zoo at {folder}: not a folder")
        found += [Model(z.name, z.path, z) for z in load_zoo(folder)]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"no model at {path}")
        found.append(Model(re.sub(r"[^A-Za-z0-9_.]+", "_", path.stem), path))
    seen: dict[str, int] = {}
    unique = []
    for model in found:
        seen[model.name] = seen.get(model.name, 0) + 1
        number = seen[model.name]
        unique.append(model if number == 1 else Model(f"{model.name}_{number}", model.path, model.zoo))
    return tuple(unique)
