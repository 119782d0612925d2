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

    def limits(self, board: str, cores: int = 1) -> Limits:
        """The recorded limits on a board; none for a model that has none recorded.

        They are of one core. More cores may not be slower, but each has a stack more.
        """
        found = self.zoo.limits.get(board) if self.zoo else None
        return Limits(found.latency_us, found.ram_bytes if cores == 1 else None) if found else NO_LIMITS


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


def core_counts(text: str, board: str) -> tuple[int, ...]:
    """Numbers of cores from `--hil-cores`, such as '1,2,all', on a board. Raises `UsageError`.

    A number that the board does not have is left out where another board of the run may have it; `cases` sees to it
    that none is left without any.
    """
    most = boards.load(board).cores
    counts = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word != "all" and not (word.isascii() and word.isdecimal() and int(word) > 0):
            raise UsageError(f"--hil-cores {text!r}: {word!r} is neither a number above 0 nor 'all'")
        counts.append(most if word == "all" else int(word))
    if not counts:
        raise UsageError("--hil-cores names no number of cores", hint="--hil-cores 1,all")
    return tuple(sorted({count for count in counts if count <= most}))


def cases(models: Sequence[Model], names: Sequence[str], cores: str) -> tuple[Case, ...]:
    """Every model on every board with every number of cores. Raises `UsageError` where a board is left with none."""
    found: list[Case] = []
    for name in names:
        counts = core_counts(cores, name)
        if not counts:
            raise UsageError(f"--hil-cores {cores}: {name} has {boards.load(name).cores} cores", hint="--hil-cores all")
        found += [Case(model, name, count) for model in models for count in counts]
    return tuple(found)


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
