"""`baselines/*.json`: what measurements were, in files that are committed and reviewed. One for each board.

    {
     "schema": "hil.baseline/1",
     "board": "rp2040",
     "subjects": [
      {
       "model": "kws", "cores": 1, "nodes": 1, "source": "virtual", "link": "", "objective": "",
       "toolchain": "zig", "variant": "",
       "model_sha256": "...", "inputs": 4,
       "measurements": {
        "arena": {"value": 5120, "exact": true},
        ...

Sorted, and a measurement a line, so that a difference of two versions reads as what changed.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hil.errors import GateFileError, UsageError
from hil.record.measurement import MEASURES, SOURCES, Measurement, Subject

SCHEMA = "hil.baseline/1"
_LONGEST = 1 << 24
_MOST_SAMPLES = 10_000
_WORDS = ("model", "source", "link", "objective", "toolchain", "variant")
_COUNTS = ("cores", "nodes")
_HINT = "pytest --board=NAME --hil-update-baseline writes such files"


@dataclass(frozen=True)
class Entry:
    """A subject and what its measurements were."""

    subject: Subject
    model_sha256: str
    measurements: tuple[Measurement, ...]
    inputs: int

    def get(self, name: str) -> Measurement | None:
        """The measurement of that name, if there is one."""
        return next((one for one in self.measurements if one.name == name), None)


def file_name(board: str) -> str:
    """The file of a board, or of a cluster: 'rp2040.json', 'rp2040x3+rp2350.json'."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", board.replace("*", "x").replace(",", "+")) + ".json"


def read_folder(folder: Path) -> tuple[Entry, ...]:
    """All entries of all files; none where there is no such folder. Raises `GateFileError`."""
    found: dict[Subject, Entry] = {}
    for file in sorted(folder.glob("*.json")):
        for entry in read(file):
            if entry.subject in found:
                _fail(file, "subjects", f"{entry.subject} is in two files, or twice in one")
            found[entry.subject] = entry
    return tuple(found.values())


def read(file: Path) -> tuple[Entry, ...]:
    """The entries of one file. Raises `GateFileError` that names file, key and value."""
    try:
        if file.stat().st_size > _LONGEST:
            raise GateFileError(f"{file} is longer than {_LONGEST} bytes")
        top = json.loads(file.read_bytes())
    except OSError as error:
        raise GateFileError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise GateFileError(f"{file} is no JSON: {error}", hint=_HINT) from error
    _keys(file, "", top, {"schema", "board", "subjects"})
    if top["schema"] != SCHEMA:
        _fail(file, "schema", f"{top['schema']!r:.60} is not {SCHEMA!r}")
    board = _text(file, "board", top["board"])
    if not isinstance(top["subjects"], list):
        _fail(file, "subjects", f"expected a list, found {top['subjects']!r:.60}")
    return tuple(_entry(file, f"subjects[{k}]", board, value) for k, value in enumerate(top["subjects"]))


def write_folder(folder: Path, entries: Iterable[Entry], boards: Collection[str]) -> None:
    """Write the files of these boards, each as a whole or not at all. Raises `UsageError`."""
    every = sorted(entries, key=lambda entry: entry.subject)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for board in sorted(boards):
            file = folder / file_name(board)
            draft = file.with_suffix(f".{os.getpid()}.new")
            draft.write_text(written(board, [entry for entry in every if entry.subject.board == board]), "utf-8")
            draft.replace(file)
    except OSError as error:
        raise UsageError(f"cannot write baselines to {folder}: {error.strerror}") from error


def written(board: str, entries: Iterable[Entry]) -> str:
    """A board's file as text."""
    subjects = ",\n".join(map(_written_entry, entries))
    return f'{{\n "schema": "{SCHEMA}",\n "board": {_json(board)},\n "subjects": [\n{subjects}\n ]\n}}\n'


def _written_entry(entry: Entry) -> str:
    subject = entry.subject
    names = ", ".join(
        f"{_json(name)}: {_json(getattr(subject, name))}" for name in ("model", *_COUNTS, *_WORDS[1:])
    )  # what it is, on one line
    lines = ",\n".join(
        f"    {_json(one.name)}: {_json(_written_measurement(one))}"
        for one in sorted(entry.measurements, key=lambda one: one.name)
    )
    model = f'"model_sha256": {_json(entry.model_sha256)}, "inputs": {entry.inputs}'
    return f'  {{\n   {names},\n   {model},\n   "measurements": {{\n{lines}\n   }}\n  }}'


def _written_measurement(one: Measurement) -> Mapping[str, Any]:
    """Counted values need no samples: they are all the same."""
    known: dict[str, Any] = {"value": _short(one.value), "exact": one.exact}
    return known | ({"samples": list(map(_short, one.samples))} if one.samples and not one.exact else {})


def _short(value: float) -> float:
    return int(value) if float(value).is_integer() and abs(value) < 1 << 53 else value


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


# -- parsing -----------------------------------------------------------------------------------------------------------


def _entry(file: Path, path: str, board: str, value: object) -> Entry:
    table = _keys(file, path, value, {*_WORDS, *_COUNTS, "model_sha256", "inputs", "measurements"})
    words = {name: _text(file, f"{path}.{name}", table[name]) for name in _WORDS}
    if words["source"] not in SOURCES:
        _fail(file, f"{path}.source", f"{words['source']!r} is not one of {', '.join(SOURCES)}")
    for name in _COUNTS:
        count = table[name]
        if type(count) is not int or not 1 <= count <= 1 << 16:
            _fail(file, f"{path}.{name}", f"expected a whole number above 0, found {count!r:.60}")
    if type(inputs := table["inputs"]) is not int or not 0 <= inputs < 1 << 31:
        _fail(file, f"{path}.inputs", f"expected a whole number, found {inputs!r:.60}")
    measurements = table["measurements"]
    if not isinstance(measurements, dict):
        _fail(file, f"{path}.measurements", f"expected an object, found {measurements!r:.60}")
    return Entry(
        Subject(board=board, cores=table["cores"], nodes=table["nodes"], **words),
        _text(file, f"{path}.model_sha256", table["model_sha256"]),
        tuple(_measurement(file, f"{path}.measurements.{n}", n, one) for n, one in measurements.items()),
        inputs,
    )


def _measurement(file: Path, path: str, name: str, value: object) -> Measurement:
    if name not in MEASURES:
        _fail(file, path, f"nothing is called that; there are {', '.join(MEASURES)}")
    table = _keys(file, path, value, {"value", "exact"}, {"samples"})
    exact, samples = table["exact"], table.get("samples", [])
    if type(exact) is not bool:
        _fail(file, f"{path}.exact", f"expected true or false, found {exact!r:.60}")
    if not isinstance(samples, list) or len(samples) > _MOST_SAMPLES:
        _fail(file, f"{path}.samples", f"expected a list of at most {_MOST_SAMPLES}, found {samples!r:.60}")
    numbers = tuple(_number(file, f"{path}.samples[{k}]", sample) for k, sample in enumerate(samples))
    return Measurement(name, _number(file, f"{path}.value", table["value"]), exact, numbers)


def _keys(
    file: Path, path: str, value: object, needed: Collection[str], more: Collection[str] = ()
) -> Mapping[str, Any]:
    """An object with these keys and no others."""
    if not isinstance(value, dict):
        _fail(file, path or "the top", f"expected an object, found {value!r:.60}")
    for key in value:
        if key not in needed and key not in more:
            _fail(file, f"{path}.{key}".lstrip("."), "no such key")
    for key in sorted(needed):
        if key not in value:
            _fail(file, f"{path}.{key}".lstrip("."), "missing")
    return value


def _text(file: Path, path: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > 4096:
        _fail(file, path, f"expected text, found {value!r:.60}")
    return value


def _number(file: Path, path: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        _fail(file, path, f"expected a number, found {value!r:.60}")
    return float(value)


def _fail(file: Path, key: str, why: str) -> NoReturn:
    raise GateFileError(f"{file}: {key}: {why}", hint=_HINT)
