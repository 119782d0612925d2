"""Conditions of a release, as people say them: parsed once into typed values.

condition  = [SOURCE] MEASURE OPERATOR NUMBER [UNIT] scope     ram_peak <= 200 KiB on rp2040 for kws*
           | [SOURCE] MEASURE regression OPERATOR NUMBER % scope         latency regression <= 2 %
           | no [SOURCE] [MEASURE] regression scope                      no hardware latency regression
           | [SOURCE] result required scope              hardware result required on rp2040, at most 24 h old
           | tests pass scope                                            tests pass on rp2040 and rp2350
scope      = everywhere, or any of these, with or without commas between them:
             on BOARD [and BOARD]...      a board kind, or the list that a cluster is; * and ? are wildcards
             for MODEL [and MODEL]...     a model's name; * and ? are wildcards
             with N cores, with N nodes
             at most NUMBER min|h|d old
SOURCE     = virtual | hardware
OPERATOR   = <= < >= > ==
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from operator import eq, ge, gt, le, lt

from hil.record.measurement import MEASURES, SOURCES, Measure, Subject

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {"<=": le, "<": lt, ">=": ge, ">": gt, "==": eq}
UNITS: Mapping[str, Mapping[str, float]] = {
    "bytes": {"B": 1, "bytes": 1, "KiB": 1024, "MiB": 1 << 20, "kB": 1000, "MB": 1_000_000},
    "us": {"us": 1, "ms": 1000, "s": 1_000_000},
    "1/s": {"1/s": 1, "/s": 1},
    "cycles": {"cycles": 1},
    "elements": {"elements": 1},
    "steps": {"steps": 1},
    "MACs": {"MACs": 1, "MMACs": 1_000_000},
}
"""For the unit of each measure: what people may write, and how many of the measure's own it is."""
_COUNTS = {"elements", "steps"}
"""Where a number alone cannot be mistaken."""
_AGES = {"min": 60.0, "h": 3600.0, "d": 86400.0, "days": 86400.0}
_WORDS = re.compile(r"<=|>=|==|!=|[<>=%,]|[^\s,<>=%!]+(?:,[^\s,<>=%!]+)*")
_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(.*)")
_NAME = re.compile(r"[\w.*?:+,-]{1,200}\Z")
_LONGEST = 500


@dataclass(frozen=True)
class Scope:
    """What a condition is about. Empty tuples, and None, stand for everything."""

    source: str | None = None
    boards: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    cores: int | None = None
    nodes: int | None = None
    age_s: float | None = None

    def parts(self) -> tuple[Scope, ...]:
        """One for each pair of a named board and a named model: every one of them has to match something."""
        return tuple(
            replace(self, boards=(board,), models=(model,))
            for board in self.boards or ("*",)
            for model in self.models or ("*",)
        )

    def covers(self, subject: Subject) -> bool:
        """Whether a subject is meant, whatever its age."""
        return (
            self.source in (None, subject.source)
            and _any(subject.board, self.boards)
            and _any(subject.model, self.models)
            and self.cores in (None, subject.cores)
            and self.nodes in (None, subject.nodes)
        )

    def covers_test(self, board: str, model: str) -> bool:
        """Whether a test is meant. One of no board or model is, where all are."""
        return _any(board, self.boards) and _any(model, self.models)

    def __str__(self) -> str:
        words = [f"on {' and '.join(self.boards)}"] * (self.boards not in ((), ("*",)))
        words += [f"for {' and '.join(self.models)}"] * (self.models not in ((), ("*",)))
        words += [f"with {self.cores} core{'s' * (self.cores != 1)}"] if self.cores is not None else []
        words += [f"with {self.nodes} node{'s' * (self.nodes != 1)}"] if self.nodes is not None else []
        words += [f"from {self.source}"] if self.source else []
        return " ".join(words) or "anywhere"


def _any(name: str, patterns: Iterable[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Limit:
    """A value and a number. `number` is in the measure's own unit."""

    measure: Measure
    operator: str
    number: float

    def holds(self, value: float) -> bool:
        return OPERATORS[self.operator](value, self.number)


@dataclass(frozen=True)
class NoRegression:
    """Against the baseline. `percent`: how much worse is still good; None: what the policy for the measurement says.

    `measure` None: all that there are.
    """

    measure: Measure | None
    percent: float | None = None
    strict: bool = False


@dataclass(frozen=True)
class ResultRequired:
    """Something was measured at all."""


@dataclass(frozen=True)
class AllPass:
    """Tests ran, and none of them failed."""


Check = Limit | NoRegression | ResultRequired | AllPass


@dataclass(frozen=True)
class Condition:
    """One condition. `text` is as it was written."""

    name: str
    text: str
    check: Check
    scope: Scope
    why: str = ""


def parse(text: str) -> tuple[Check, Scope]:
    """A condition's text. Raises `ValueError` with what is wrong, and what is allowed."""
    if len(text) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} characters")
    if not text.isprintable():
        raise ValueError("it has letters that do not print; a condition is one line")
    left = _WORDS.sub("", text).strip()
    if left:
        raise ValueError(f"{left[:20]!r} is none of the words and signs of a condition")
    words = _Words(_WORDS.findall(text))
    check, source = _check(words)
    return check, _scope(words, source, check)


class _Words:
    """The words of a condition, taken one by one."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0

    def next(self, wanted: str) -> str:
        """The next word. `wanted` says what it should be, for the error at the end of the text."""
        if self._at == len(self._words):
            raise ValueError(f"it ends where {wanted} should follow")
        self._at += 1
        return self._words[self._at - 1]

    def peek(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def take(self, word: str) -> bool:
        """Whether `word` was next; it is taken then."""
        found = self.peek() == word
        self._at += found
        return found

    def expect(self, word: str, behind: str) -> None:
        if not self.take(word):
            found = repr(self.peek()) if self.peek() is not None else "nothing"
            raise ValueError(f"{found} stands where {word!r} should, behind {behind!r}")

    def split_number(self, wanted: str) -> float:
        """The next word as a number; what is written together with it, as in '200KiB', becomes the next word."""
        word = self.next(wanted)
        found = _NUMBER.fullmatch(word)
        if not found:
            raise ValueError(f"{word!r} is not {wanted}")
        if found[2]:
            self._at -= 1
            self._words[self._at] = found[2]
        return float(found[1])


def _check(words: _Words) -> tuple[Check, str | None]:
    if words.take("tests"):
        words.expect("pass", "tests")
        return AllPass(), None
    none = words.take("no")
    source = next((source for source in SOURCES if words.take(source)), None)
    if none:
        return _no_regression(words), source
    if words.take("result"):
        words.expect("required", "result")
        return ResultRequired(), source
    measure = _measure(words.next("a measurement, 'result required' or 'tests pass'"))
    if words.take("regression"):
        operator = words.next("<= or <")
        if operator not in ("<=", "<"):
            raise ValueError(f"{operator!r} behind 'regression': allowed are <= and <")
        percent = words.split_number("a number of percent")
        words.expect("%", "the number")
        return NoRegression(measure, percent, operator == "<"), source
    operator = words.next("an operator")
    if operator not in OPERATORS:
        raise ValueError(f"{operator!r} behind {measure.name!r}: allowed are {' '.join(OPERATORS)}, and 'regression'")
    number = words.split_number("a number")
    return Limit(measure, operator, number * _unit(words, measure, number)), source


def _no_regression(words: _Words) -> NoRegression:
    if words.take("regression"):
        return NoRegression(None)
    measure = _measure(words.next("a measurement or 'regression'"))
    words.expect("regression", f"no {measure.name}")
    return NoRegression(measure)


def _measure(word: str) -> Measure:
    if word in MEASURES:
        return MEASURES[word]
    like = get_close_matches(word, MEASURES, 1)
    close = f"did you mean {like[0]!r}? " if like else ""
    raise ValueError(f"{word!r} is no measurement; {close}There are {', '.join(MEASURES)}")


def _unit(words: _Words, measure: Measure, number: float) -> float:
    """How many of the measure's own unit the next word is; without a unit 1, where that cannot be mistaken."""
    units = UNITS[measure.unit]
    word = words.peek()
    if word in units:
        return units[words.next("a unit")]
    allowed = f"{measure.name} is in {' '.join(units)}"
    if word in (None, ",", *_STARTS):
        if number == 0 or measure.unit in _COUNTS:
            return 1
        raise ValueError(f"the number has no unit: {allowed}")
    raise ValueError(f"{word!r} is no unit for it: {allowed}. Behind that may stand {_CLAUSES}")


_STARTS = ("everywhere", "on", "for", "with", "at")
_CLAUSES = "'everywhere', 'on BOARD', 'for MODEL', 'with N cores', 'with N nodes' and 'at most N h old'"


def _scope(words: _Words, source: str | None, check: Check) -> Scope:
    found: dict[str, object] = {}

    def put(key: str, value: object) -> None:
        if key in found:
            raise ValueError(f"it says {_SAID[key]} twice")
        found[key] = value

    while (word := words.peek()) is not None:
        words.next("")
        if word == ",":
            if words.peek() in (None, ","):
                raise ValueError("a comma is followed by nothing")
        elif word == "everywhere":
            put("everywhere", True)
        elif word == "on":
            put("boards", _names(words, "a board"))
        elif word == "for":
            put("models", _names(words, "a model"))
        elif word == "with":
            count = words.split_number("a number of cores or nodes")
            what = words.next("'cores' or 'nodes'")
            key = what.removesuffix("s") + "s"
            if key not in ("cores", "nodes") or not 1 <= count <= 64 or count != int(count):
                raise ValueError(f"'with {count:g} {what}': allowed are 'with N cores' and 'with N nodes', N in 1..64")
            put(key, int(count))
        elif word == "at":
            words.expect("most", "at")
            put("age_s", _age(words))
        else:
            raise ValueError(f"{word!r} is not understood there; allowed are {_CLAUSES}")
    if found.pop("everywhere", False) and set(found) - {"age_s"}:
        raise ValueError("it says 'everywhere' and also where; one of them is wrong")
    if isinstance(check, AllPass) and {"cores", "nodes", "age_s"} & set(found):
        raise ValueError("'tests pass' takes 'on BOARD' and 'for MODEL' only")
    return Scope(source=source, **found)  # type: ignore[arg-type]  # each was put in with its own type


_SAID = {
    "everywhere": "'everywhere'",
    "boards": "on which boards",
    "models": "for which models",
    "cores": "with how many cores",
    "nodes": "with how many nodes",
    "age_s": "how old",
}


def _names(words: _Words, wanted: str) -> tuple[str, ...]:
    found = []
    while True:
        name = words.next(wanted)
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is not the name of {wanted}: letters, digits, and . _ - + : * ?")
        found.append(name)
        if not words.take("and"):
            return tuple(dict.fromkeys(found))


def _age(words: _Words) -> float:
    number = words.split_number("a number of hours")
    unit = words.next("h")
    if unit not in _AGES:
        raise ValueError(f"{unit!r} is no unit of age: allowed are {' '.join(_AGES)}")
    words.expect("old", unit)
    age = number * _AGES[unit]
    if not 0 < age < math.inf:
        raise ValueError("an age of nothing allows nothing")
    return age
