"""A zoo: a folder of models, each in a folder of its own with a `model.toml` beside the `.tflite`.

name = "digits"
file = "digits.tflite"
sha256 = "..."
licence = "MIT"
provenance = "where it comes from, in a sentence"
recipe = "recipes/digits.py"        # optional, seen from the zoo's folder
built = true                        # optional: no file is kept, the recipe makes it on first use (`hil.model.recipe`)
nodes = 2                           # optional, 1 if missing: boards that it needs at least; 0: it is for planning only

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
from hil.model.recipe import built
from hil.paths import ZOO

_FILE_BYTES = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
    """One entry of a zoo.

    `nodes` is the number of boards that it needs at least; 0 where it is for planning only.
    `built`: its file is not kept, but made by its recipe.
    """

    name: str
    file: Path
    sha256: str
    licence: str
    provenance: str
    recipe: Path | None
    inputs: SeededInputs | Path
    limits: Mapping[str, Limits]
    accuracy: Accuracy | None
    nodes: int = 1
    built: bool = False

    @property
    def path(self) -> Path:
        """The `.tflite`, whose bytes have been held against `sha256`. The first look at a built one makes it.

        Raises `UsageError` where that fails.
        """
        if not self.built:
            return self.file
        assert self.recipe is not None
        home = self.file.parent
        return built(f"{home / 'model.toml'}", self.recipe, home.parent, self.file.name, self.sha256)

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


def load_zoo(folder: Path, *, nodes: int | None = 1) -> tuple[ZooModel, ...]:
    """The entries of a zoo that up to `nodes` boards can run, by name; with None all, those for planning too."""
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
    return tuple(model for model in models if nodes is None or 1 <= model.nodes <= nodes)


def built_path(name: str, folder: Path = ZOO) -> Path:
    """The file of the entry `name`, whatever it needs; made now where its recipe has to. Raises `UsageError`."""
    for model in load_zoo(folder, nodes=None):
        if model.name == name:
            return model.path
    raise UsageError(f"zoo {folder}: no model is called '{name}'")


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
    made = entry.flag("built")
    if made and recipe is None:
        entry.wrong("recipe", "the recipe of what is built")
    model = ZooModel(
        name=name,
        file=entry.file("file", there=not made),
        sha256=entry.text("sha256"),
        licence=entry.text("licence"),
        provenance=entry.text("provenance"),
        recipe=None if recipe is None else file.parent.parent / recipe,
        inputs=_inputs(entry.section("inputs")),
        limits=_limits(entry.section("limits", optional=True)),
        accuracy=_accuracy(entry),
        nodes=entry.integer("nodes", 0) if "nodes" in entry.values else 1,
        built=made,
    )
    entry.finish()
    if made:
        _check_recipe(entry, model)
    else:
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


def _check_recipe(entry: _Section, model: ZooModel) -> None:
    assert model.recipe is not None
    if not model.recipe.is_file():
        entry.wrong("recipe", f"a file below {model.file.parent.parent}")
    if not _SHA256.fullmatch(model.sha256):
        entry.wrong("sha256", "64 digits of lower-case hex")


def _check_digest(entry: _Section, model: ZooModel) -> None:
    try:
        if model.file.stat().st_size > _FILE_BYTES:
            entry.wrong("file", f"a model of at most {_FILE_BYTES} bytes")
        found = hashlib.sha256(model.file.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{entry.file_path}: file: {model.file.name} cannot be read: {error.strerror}") from None
    if found != model.sha256:
        raise UsageError(f"{entry.file_path}: sha256: {model.file.name} has {found}")


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

    def flag(self, key: str) -> bool:
        """Whether a key is there and true."""
        value = self._get(key) if key in self.values else False
        if not isinstance(value, bool):
            self.wrong(key, "true or false")
        return value

    def file(self, key: str, *, there: bool = True) -> Path:
        """A file beside the TOML file; with `there` false one that need not exist."""
        name = self.text(key)
        path = self.file_path.parent / name
        if Path(name).name != name or (there and not path.is_file()):
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
