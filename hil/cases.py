"""What to test: each model on each board with each number of cores, under a stable id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        found.append(Model(file_name(path), path))
    return _unique(found)


def file_name(path: Path) -> str:
    """What a model is called that has only its file's name: letters, digits, '_' and '.'."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", path.stem)


def _unique(found: Sequence[Model]) -> tuple[Model, ...]:
    """The first of several models of one name keeps it; the others get the next number that nobody has."""
    taken = {model.name for model in found}
    seen: set[str] = set()
    unique = []
    for model in found:
        name, number = model.name, 1
        while name in seen or (number > 1 and name in taken):
            number += 1
            name = f"{model.name}_{number}"
        seen.add(name)
        unique.append(replace(model, name=name))
    return tuple(unique)
