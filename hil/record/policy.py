"""Which changes matter: by how much at least, and how sure one has to be; by board, model and measurement.

    [[effect]]
    board = "rp2350"            # each may be left out, and may have '*' in it
    model = "kws"
    measure = "latency"
    least = "5 %"

Tables like this stand in `gate.toml`; pytest takes the same keys from `hil_effects` in its ini file.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from hil.errors import GateFileError
from hil.record.measurement import MEASURES, Subject

_PERCENT = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*%\s*\Z")
_KEYS = ("board", "model", "measure", "least", "significance", "samples")
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Policy:
    """When a difference is a change.

    `least`: the smallest change of a time that matters, as a share of the smaller value. `counted`: the same for what
    is counted; 0 means that any difference is one. `significance`: how often chance alone may look like a change of
    times. `samples`: repeats from which on the Mann-Whitney test is asked, on both sides.
    """

    least: float = 0.02
    counted: float = 0.0
    significance: float = 0.01
    samples: int = 8


@dataclass(frozen=True)
class Effect:
    """One `[[effect]]`: for what it holds, and what it says; None: nothing."""

    board: str = "*"
    model: str = "*"
    measure: str | None = None
    least: float | None = None
    significance: float | None = None
    samples: int | None = None

    def holds(self, subject: Subject, name: str) -> bool:
        """Whether it is about this measurement of this subject."""
        return (
            fnmatchcase(subject.board, self.board)
            and fnmatchcase(subject.model, self.model)
            and (self.measure is None or fnmatchcase(name, self.measure))
        )


@dataclass(frozen=True)
class Policies:
    """The policy of every measurement: the default, changed by each effect that holds, in their order."""

    effects: tuple[Effect, ...] = ()
    default: Policy = Policy()

    def of(self, subject: Subject, name: str) -> Policy:
        """The policy for a measurement of a subject.

        What is counted changes when it differs: `least` is for counted values only where an effect names the
        measurement.
        """
        found = self.default
        for effect in self.effects:
            if not effect.holds(subject, name):
                continue
            if effect.least is not None:
                counted = found.counted if effect.measure is None else effect.least
                found = replace(found, least=effect.least, counted=counted)
            if effect.significance is not None:
                found = replace(found, significance=effect.significance)
            if effect.samples is not None:
                found = replace(found, samples=effect.samples)
        return found


DEFAULT = Policies()


def parsed_effects(tables: object, where: str) -> tuple[Effect, ...]:
    """The value of `effect` in a TOML file, or None. `where`: the file. Raises `GateFileError`: file, key, value."""
    if tables is None:
        return ()
    if not isinstance(tables, list):
        _fail(where, "effect", f"expected [[effect]] tables, found {tables!r:.60}")
    return tuple(_effect(table, where, f"effect[{number}]") for number, table in enumerate(tables))


def effects_in(file: Path) -> tuple[Effect, ...]:
    """The `[[effect]]` tables of a TOML file, whatever else is in it. Raises `GateFileError`."""
    try:
        if file.stat().st_size > _LONGEST:
            raise GateFileError(f"{file} is longer than {_LONGEST} bytes")
        with file.open("rb") as stream:
            return parsed_effects(tomllib.load(stream).get("effect"), str(file))
    except OSError as error:
        raise GateFileError(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GateFileError(f"{file}: {error}") from error


def effects_of_lines(lines: Sequence[str], where: str) -> tuple[Effect, ...]:
    """Effects as lines of an ini file: `board=rp2350 model=kws measure=latency least="5 %"`. Raises `GateFileError`."""
    found = []
    for line in lines:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise GateFileError(f"{where}: {line!r}: {error}") from error
        pairs = [word.partition("=") for word in words]
        table: dict[str, Any] = {key: value for key, _, value in pairs}
        for key, number in (("samples", int), ("significance", float)):
            try:
                table |= {key: number(table[key])} if key in table else {}
            except ValueError:
                _fail(where, key, f"{table[key]!r} is not a number")
        found.append(_effect(table, where, repr(line)))
    return tuple(found)


def _effect(table: object, where: str, path: str) -> Effect:
    if not isinstance(table, dict):
        _fail(where, path, f"expected a table, found {table!r:.60}")
    for key in table:
        if key not in _KEYS:
            _fail(where, f"{path}.{key}", f"no such key; there are {', '.join(_KEYS)}")
    for key in ("board", "model", "measure"):
        if not isinstance(table.get(key, ""), str):
            _fail(where, f"{path}.{key}", f"expected text, found {table[key]!r:.60}")
    measure = table.get("measure")
    if measure is not None and not any(fnmatchcase(name, measure) for name in MEASURES):
        _fail(where, f"{path}.measure", f"{measure!r} is not measured; there are {', '.join(MEASURES)}")
    if not {"least", "significance", "samples"} & table.keys():
        _fail(where, path, "says nothing: least, significance or samples is needed")
    return Effect(
        board=table.get("board", "*"),
        model=table.get("model", "*"),
        measure=measure,
        least=share(table["least"], where, f"{path}.least") if "least" in table else None,
        significance=_within(table, "significance", where, path),
        samples=_samples(table, where, path),
    )


def share(value: object, where: str, key: str) -> float:
    """'5 %' as 0.05. Raises `GateFileError`."""
    found = _PERCENT.match(value) if isinstance(value, str) else None
    if found is None:
        _fail(where, key, f"expected a share such as '5 %', found {value!r:.60}")
    return float(found[1]) / 100


def _within(table: Mapping[str, Any], key: str, where: str, path: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        _fail(where, f"{path}.{key}", f"expected a number between 0 and 1, found {value!r:.60}")
    return float(value)


def _samples(table: Mapping[str, Any], where: str, path: str) -> int | None:
    value = table.get("samples")
    if value is not None and (type(value) is not int or not 3 <= value <= 1000):
        _fail(where, f"{path}.samples", f"expected a whole number in 3..1000, found {value!r:.60}")
    return value


def _fail(where: str, key: str, why: str) -> NoReturn:
    raise GateFileError(f"{where}: {key}: {why}")
