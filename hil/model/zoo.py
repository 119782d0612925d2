"""A zoo: a folder of models, each in a folder of its own with a `model.toml` beside the `.tflite`.

name = "digits"
file = "digits.tflite"
sha256 = "..."
licence = "MIT"
provenance = "where it comes from, in a sentence"
recipe = "recipes/digits.py"        # optional, seen from the zoo's folder

[inputs]                            # `seed` and `count`, or `file` (see `hil.model.inputs.load`)
seed = 1
count = 4

[limits.rp2040]                     # one per board; each number optional
latency_us = 1000.0
ram_bytes = 10000

[accuracy]                          # optional: arrays `input_0`, ... and `labels` (classes)
file = "digits.npz"
minimum = 0.95
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from hil.errors import UsageError
from hil.model import inputs as input_sets
from hil.model.graph import Graph
from hil.model.inputs import InputSets, read_arrays

_FILE_BYTES = 64 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class SeededInputs:
    """Input sets that `hil.model.inputs.generate` makes."""

    seed: int
    count: int


@dataclass(frozen=True)
class Limits:
    """What a model may need on one board; None is no limit. Microseconds are of one inference."""

    latency_us: float | None
    ram_bytes: int | None


@dataclass(frozen=True)
class Accuracy:
    """A labelled set of inputs, and the least share (0 to 1) of them whose greatest output is the label."""

    file: Path
    minimum: float


@dataclass(frozen=True)
class ZooModel:
    """One entry of a zoo. `path` is the `.tflite`, whose bytes have been held against `sha256`."""

    name: str
    path: Path
    sha256: str
    licence: str
    provenance: str
    recipe: Path | None
    inputs: SeededInputs | Path
    limits: Mapping[str, Limits]
    accuracy: Accuracy | None

    def input_sets(self, graph: Graph, *, count: int | None = None, seed: int | None = None) -> InputSets:
        """The entry's own input sets; `count` and `seed` override what the entry says.

        A file's sets come first; where more are asked for, seeded ones follow.
        """
        if isinstance(self.inputs, SeededInputs):
            return input_sets.generate(graph, count or self.inputs.count, self.inputs.seed if seed is None else seed)
        stored = input_sets.load(self.inputs, graph)
        if count is None or count <= len(stored):
            return stored[:count]
        return stored + input_sets.generate(graph, count - len(stored), seed or 0)


def load_zoo(folder: Path) -> tuple[ZooModel, ...]:
    """The entries of a zoo, by name."""
    try:
        files = sorted(folder.glob("*/model.toml"))
    except OSError as error:
        raise UsageError(f"zoo {folder}: cannot be read: {error.strerror}") from None
    if not files:
        raise UsageError(f"zoo {folder}: no model in it (a folder with a model.toml)")
    models = sorted((load_entry(file) for file in files), key=lambda model: model.name)
    for first, second in pairwise(models):
        if first.name == second.name:
            raise UsageError(f"zoo {folder}: two models are called '{first.name}'")
    return tuple(models)


def load_entry(file: Path) -> ZooModel:
    """One entry from its `model.toml`; errors name the file and the key."""
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not TOML: {error}") from None
    entry = _Section(file, "", values)
    name = entry.text("name")
    if not _NAME.fullmatch(name):
        entry.wrong("name", "letters, digits, '.', '_' and '-', at most 64")
    recipe = entry.optional_text("recipe")
    model = ZooModel(
        name=name,
        path=entry.file("file"),
        sha256=entry.text("sha256"),
        licence=entry.text("licence"),
        provenance=entry.text("provenance"),
        recipe=None if recipe is None else file.parent.parent / recipe,
        inputs=_inputs(entry.section("inputs")),
        limits=_limits(entry.section("limits", optional=True)),
        accuracy=_accuracy(entry),
    )
    entry.finish()
    _check_digest(entry, model)
    return model


def load_accuracy(accuracy: Accuracy, graph: Graph) -> tuple[InputSets, npt.NDArray[np.int64]]:
    """The labelled inputs of an entry: input sets, and one class per set."""
    sets = input_sets.load(accuracy.file, graph)
    labels = read_arrays(accuracy.file).get("labels")
    if labels is None or labels.shape != (len(sets),) or labels.dtype.kind not in "iu":
        raise UsageError(f"inputs {accuracy.file}: an array 'labels' of {len(sets)} integers is needed")
    return sets, labels.astype(np.int64)


def _inputs(section: _Section) -> SeededInputs | Path:
    if "file" in section.values:
        path = section.file("file")
        section.finish()
        return path
    seeded = SeededInputs(section.integer("seed", 0), section.integer("count", 1))
    section.finish()
    return seeded


def _limits(section: _Section) -> dict[str, Limits]:
    limits = {}
    for board in sorted(section.values):
        one = section.section(board)
        limits[board] = Limits(
            latency_us=one.number("latency_us", optional=True),
            ram_bytes=one.integer("ram_bytes", 1) if "ram_bytes" in one.values else None,
        )
        one.finish()
    return limits


def _accuracy(entry: _Section) -> Accuracy | None:
    if "accuracy" not in entry.values:
        return None
    section = entry.section("accuracy")
    minimum = section.number("minimum")
    if minimum is None or not 0 <= minimum <= 1:
        section.wrong("minimum", "a share from 0 to 1")
    accuracy = Accuracy(section.file("file"), minimum)
    section.finish()
    return accuracy


def _check_digest(entry: _Section, model: ZooModel) -> None:
    try:
        if model.path.stat().st_size > _FILE_BYTES:
            entry.wrong("file", f"a model of at most {_FILE_BYTES} bytes")
        found = hashlib.sha256(model.path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{entry.file_path}: file: {model.path.name} cannot be read: {error.strerror}") from None
    if found != model.sha256:
        raise UsageError(f"{entry.file_path}: sha256: {model.path.name} has {found}")


class _Section:
    """A table of a TOML file, read key by key; `finish` refuses keys that nobody asked for."""

    def __init__(self, file: Path, where: str, values: Mapping[str, Any]) -> None:
        self.file_path, self.where, self.values = file, where, values
        self._read: set[str] = set()

    def wrong(self, key: str, wanted: str) -> NoReturn:
        raise UsageError(f"{self.file_path}: {self.where}{key}: {wanted} is needed, not {self.values.get(key)!r}")

    def _get(self, key: str) -> Any:
        self._read.add(key)
        if key not in self.values:
            raise UsageError(f"{self.file_path}: {self.where}{key} is missing")
        return self.values[key]

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str) or not value.strip():
            self.wrong(key, "a text")
        return value

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self.values else None

    def integer(self, key: str, least: int) -> int:
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.wrong(key, f"an integer of at least {least}")
        return value

    def number(self, key: str, *, optional: bool = False) -> float | None:
        if optional and key not in self.values:
            return None
        value = self._get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
            self.wrong(key, "a number")
        return float(value)

    def file(self, key: str) -> Path:
        """A file beside the TOML file."""
        name = self.text(key)
        path = self.file_path.parent / name
        if Path(name).name != name or not path.is_file():
            self.wrong(key, f"the name of a file in {self.file_path.parent}")
        return path

    def section(self, key: str, *, optional: bool = False) -> _Section:
        if optional and key not in self.values:
            return _Section(self.file_path, f"{self.where}{key}.", {})
        value = self._get(key)
        if not isinstance(value, dict):
            self.wrong(key, "a table")
        return _Section(self.file_path, f"{self.where}{key}.", value)

    def finish(self) -> None:
        if unknown := sorted(set(self.values) - self._read):
            raise UsageError(f"{self.file_path}: {self.where}{unknown[0]} is no key that is known")
