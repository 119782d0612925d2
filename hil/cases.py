"""What to test: each model on each board, or cluster, with each number of cores and nodes, under a stable id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hil import board as boards
from hil.errors import UsageError
from hil.model.zoo import ZooModel, load_zoo
from hil.nodes import MOST, board_list, kind, written
from hil.paths import ZOO
from hil.record import NO_LIMITS, Limits


@dataclass(frozen=True)
class Model:
    """A model to test: a file, or a zoo's entry with its limits and accuracy set."""

    name: str
    file: Path | None
    zoo: ZooModel | None = None

    @property
    def path(self) -> Path:
        """The `.tflite`. The first look at one that a zoo's recipe builds makes it."""
        if self.zoo is not None:
            return self.zoo.path
        assert self.file is not None
        return self.file

    @property
    def nodes(self) -> int:
        """The number of boards that it needs at least."""
        return self.zoo.nodes if self.zoo else 1

    def limits(self, board: str, cores: int = 1, nodes: int = 1) -> Limits:
        """The recorded limits on a board; none for a model that has none recorded, nor for several boards.

        They are of one core. More cores may not be slower, but each has a stack more.
        """
        found = self.zoo.limits.get(board) if self.zoo and nodes == 1 else None
        return Limits(found.latency_us, found.ram_bytes if cores == 1 else None) if found else NO_LIMITS


@dataclass(frozen=True)
class Case:
    """One deployment to test. `board` is a board kind, or a list of them (see `hil.nodes`) where nodes differ."""

    model: Model
    board: str
    cores: int = 1
    nodes: int = 1

    @property
    def id(self) -> str:
        name = f"{self.model.name}-{_plain(self.board)}-{self.cores}core"
        return name if self.nodes == 1 else f"{name}-{self.nodes}node"


def _plain(board: str) -> str:
    """A list of boards in letters that may stand behind pytest's `-k`: 'rp2040x3+rp2350'."""
    return board.replace("*", "x").replace(",", "+")


def board_names(values: Sequence[str]) -> tuple[str, ...]:
    """Kinds and clusters from `--board` (repeated, or with commas), each known. Raises `UsageError`.

    A value with '*' in it is one cluster, a value without is as many boards as it names, each on its own.
    """
    names: list[str] = []
    for value in values:
        if "*" in value:
            names.append(written(board_list(value)))
        else:
            names += [name.strip() for name in value.split(",") if name.strip()]
    if values and not names:
        raise UsageError("--board names no board", hint="hil boards")
    for name in names:
        board_list(name)
    return tuple(dict.fromkeys(names))


def node_counts(text: str | None, board: str) -> tuple[int, ...]:
    """Numbers of nodes from `--hil-nodes`, such as '1,2,4', for a board or a cluster. Raises `UsageError`.

    Without the option: as many as `board` names. A list of boards has its own number, which must be among them.
    """
    own = len(board_list(board))
    if text is None:
        return (own,)
    counts = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        if not (word.isascii() and word.isdecimal() and 1 <= int(word) <= MOST):
            raise UsageError(f"--hil-nodes {text!r}: {word!r} is no number of nodes in 1..{MOST}")
        counts.add(int(word))
    if not counts:
        raise UsageError("--hil-nodes names no number of nodes", hint="--hil-nodes 1,2,4")
    if own > 1 and own not in counts:
        raise UsageError(f"--hil-nodes {text}: --board {board!r} names {own} boards", hint=f"--hil-nodes {own}")
    return (own,) if own > 1 else tuple(sorted(counts))


def core_counts(text: str, board: str) -> tuple[int, ...]:
    """Numbers of cores from `--hil-cores`, such as '1,2,all', on a board. Raises `UsageError`.

    A number that the board does not have is left out where another board of the run may have it; `cases` sees to it
    that none is left without any.
    """
    most = min(boards.load(name).cores for name in board_list(board))
    counts = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word != "all" and not (word.isascii() and word.isdecimal() and int(word) > 0):
            raise UsageError(f"--hil-cores {text!r}: {word!r} is neither a number above 0 nor 'all'")
        counts.append(most if word == "all" else int(word))
    if not counts:
        raise UsageError("--hil-cores names no number of cores", hint="--hil-cores 1,all")
    return tuple(sorted({count for count in counts if count <= most}))


def cases(models: Sequence[Model], names: Sequence[str], cores: str, nodes: str | None = None) -> tuple[Case, ...]:
    """Every model on every board or cluster with every number of cores and nodes.

    Raises `UsageError` where a board is left with none.
    """
    found: list[Case] = []
    for name in names:
        counts = core_counts(cores, name)
        if not counts:
            most = min(boards.load(one).cores for one in board_list(name))
            raise UsageError(f"--hil-cores {cores}: {name} has {most} cores", hint="--hil-cores all")
        for several in node_counts(nodes, name):
            board = kind(board_list(name))
            able = [model for model in models if model.nodes <= several]
            found += [Case(model, board, count, several) for model in able for count in counts]
    return tuple({case.id: case for case in found}.values())


def kin(found: Sequence[Case]) -> dict[str, tuple[Case, ...]]:
    """Cases that differ in their models alone, by what they share; smaller files first, and only those that exist."""
    groups: dict[str, list[Case]] = {}
    there = [case for case in found if case.model.zoo is None or not case.model.zoo.built]
    for case in sorted(there, key=lambda case: (case.model.path.stat().st_size, case.model.name)):
        groups.setdefault(case.id.removeprefix(f"{case.model.name}-"), []).append(case)
    return {name: tuple(cases) for name, cases in groups.items()}


def models(paths: Sequence[Path], zoos: Sequence[Path], *, builtin: bool, nodes: int = 1) -> tuple[Model, ...]:
    """The built-in zoo (if asked for), other zoos, and single files, in that order. Names are made unique.

    Of zoos, what needs more boards than `nodes` is left out.
    Raises `UsageError` for a path that is not there.
    """
    found: list[Model] = []
    for folder in [*([ZOO] if builtin else []), *zoos]:
        if not folder.is_dir():
            raise UsageError(f"no zoo at {folder}: not a folder")
        found += [Model(z.name, None, z) for z in load_zoo(folder, nodes=nodes)]
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
