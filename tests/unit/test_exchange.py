"""Runs from one history to another as JSON Lines, and what others may put into such files."""

from __future__ import annotations

import copy
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import HilError, MalformedRecord
from hil.record import History, Result, Usage, exchange, exported, imported, queries, schema
from tests.support.records import profile
from tests.unit.test_history import origin


@pytest.fixture
def full(tmp_path: Path) -> Iterator[History]:
    """A history with three runs, of which the last has no end."""
    with History.open(tmp_path / "full.sqlite") as history:
        for number in range(3):
            run = history.begin(origin(number))
            run.profiled(profile(latency=1000.25 + number), place="pico-a", identity="serial A", at=1000.5 + number)
            run.profiled(profile("other", "rp2040*3,rp2350"), place="pico-b", at=1000.75 + number)
            run.tested(Result("t.py::test_a", "failed", "device", 1.5, "kws", "rp2040", "a", "\x1b[31m", "log", 1001.0))
            run.used(Usage("serial A", "pico-a", "device", "HardFault", 1002.0))
            if number < 2:
                run.verdict("pass" if number else "fail")
                run.end(1003.0 + number)
        yield history


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[History]:
    with History.open(tmp_path / "empty.sqlite") as history:
        yield history


def lines_of(history: History) -> list[str]:
    return list(exported(history, reversed(queries.runs(history, most=-1))))


def take(history: History, *lines: str | bytes, **options: float) -> tuple[int, int]:
    data = b"".join(line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass") for line in lines)
    return imported(history, io.BytesIO(data), "file.jsonl", **options)


def contents(history: History) -> list[list[Any]]:
    """All that is in the tables."""
    tables = ("run", "subject", "profile", "measurement", "test", "usage")
    return [list(map(tuple, history.rows(f"SELECT * FROM {name} ORDER BY 1, 2, 3"))) for name in tables]


def test_what_is_exported_and_imported_is_the_same(full: History, empty: History) -> None:
    lines = lines_of(full)
    assert take(empty, *lines) == (3, 0)
    assert lines_of(empty) == lines
    assert contents(empty) == contents(full)


def test_what_is_there_already_is_left_as_it_is(full: History, empty: History) -> None:
    lines = lines_of(full)
    take(empty, *lines)
    before = contents(empty)
    assert take(empty, *lines, "\n", lines[0]) == (0, 4)
    assert contents(empty) == before


def test_a_run_that_has_ended_since_replaces_itself(full: History, empty: History) -> None:
    before = lines_of(full)
    take(empty, *before)
    run = full.writer("run-0002")
    run.profiled(profile("third"), at=1010.0)
    run.end(1011.0)
    assert take(empty, *lines_of(full)) == (1, 2)
    assert lines_of(empty) == lines_of(full)
    assert take(empty, *before) == (0, 3), "and is not replaced by what it was before"
    assert lines_of(empty) == lines_of(full)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_profile_is_a_run_of_its_own(indent: int | None, empty: History) -> None:
    text = json.dumps(profile(verdict="fail"), indent=indent) + "\n"
    assert take(empty, text, at=86400.0) == (1, 0)
    assert take(empty, text, at=86400.0) == (0, 1)
    assert take(empty, text, at=86401.0) == (1, 0), "the next night's is another run, though it says the same"
    first = queries.runs(empty)[1]
    assert (first.verdict, first.ended, first.origin.bench) == ("fail", 86400.0, "virtual bench")
    assert first.id.startswith("19700102-000000-")
    (kept,) = queries.profiles(empty, first.id)
    assert kept.record == profile(verdict="fail")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "hil.run/2"),
        (("schema",), None),
        (("run",), []),
        (("run", "id"), "../../etc"),
        (("run", "id"), "x" * 200),
        (("run", "id"), 7),
        (("run", "began"), float("nan")),
        (("run", "began"), float("inf")),
        (("run", "began"), -1),
        (("run", "began"), 10**400),
        (("run", "began"), True),
        (("run", "began"), 1e300),
        (("run", "pid"), 2**64),
        (("run", "pid"), 1.5),
        (("run", "dirty"), 1),
        (("run", "verdict"), "good"),
        (("run", "verdict"), None),
        (("run", "ended"), None),
        (("run", "branch"), None),
        (("profiles",), {}),
        (("profiles", 0), 3),
        (("profiles", 0, "at"), "now"),
        (("profiles", 0, "identity"), None),
        (("profiles", 0, "record"), []),
        (("profiles", 0, "record", "schema"), "hil.plan/1"),
        (("profiles", 0, "record", "bench"), "moon"),
        (("profiles", 0, "record", "cores"), 10**30),
        (("profiles", 0, "record", "model", "name"), "\ud800"),
        (("profiles", 0, "record", "model", "name"), "a\0b"),
        (("profiles", 0, "record", "latency", "median"), 10**400),
        (("profiles", 0, "record", "latency", "samples"), [None]),
        (("profiles", 0, "record", "memory", "stacks"), {"a": 1}),
        (("profiles", 0, "record", "more"), float("nan")),
        (("tests", 0, "outcome"), "great"),
        (("tests", 0, "cause"), "moon"),
        (("tests", 0, "seconds"), -1.0),
        (("tests", 0, "name"), None),
        (("usages", 0, "outcome"), "so so"),
        (("usages",), "abc"),
    ],
    ids=lambda v: ".".join(map(str, v)) if isinstance(v, tuple) else "",
)
def test_a_line_that_is_wrong_anywhere_changes_nothing(
    path: tuple[str | int, ...], value: object, full: History, empty: History
) -> None:
    """Nor does what came before it in the file go away."""
    first, second, _ = lines_of(full)
    line: Any = json.loads(second)
    place = line
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(MalformedRecord, match=r"file.jsonl: line 2 is neither a hil.run/1 nor a hil.profile/1: "):
        take(empty, first, json.dumps(line) + "\n")
    assert lines_of(empty) == [first]
    assert empty.rows("SELECT count(*) AS n FROM profile")[0]["n"] == 2


@pytest.mark.parametrize(
    "line",
    [b"{", b"\xff\xfe", b"[]", b"null", b"7", b'"hil.run/1"', b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\0",
     b'{"schema": "hil.run/1"}', b"{}\n", b"{\n"],
    ids=lambda line: str(line[:9]),
)  # fmt: skip
def test_lines_that_are_nothing(line: bytes, empty: History) -> None:
    with pytest.raises(MalformedRecord, match=r"file.jsonl: line 1 is neither "):
        take(empty, line)
    assert queries.runs(empty) == ()


def test_a_line_is_bounded(empty: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LONGEST_LINE", 100)
    for text in ("x" * 101, "{\n" + "x" * 101):
        with pytest.raises(MalformedRecord, match="longer than 100 bytes"):
            take(empty, text)


# -- hypothesis --------------------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=()))
    | st.sampled_from([10**400, -1, 2**63, "hil.run/1", "hil.profile/1", "\ud800", "\0", "virtual", "pass"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a JSON value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def damaged(line: Any, path: tuple[Any, ...], value: Any, *, remove: bool) -> Any:
    line = copy.deepcopy(line)
    place = line
    for key in path[:-1]:
        place = place[key]
    if remove:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return line


SOUND = {
    "schema": "hil.run/1",
    "run": vars(origin(7)) | {"ended": 1010.0, "verdict": "pass"},
    "profiles": [{"at": 1008.0, "place": "pico", "identity": "serial A", "record": profile()}],
    "tests": [vars(Result("t", "passed", at=1009.0))],
    "usages": [vars(Usage("serial A", "pico", "well", at=1009.0))],
}
PLACES = list(places(SOUND))


def in_memory() -> History:
    """A history without a file."""
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.execute("PRAGMA foreign_keys = ON")
    schema.migrate(base, Path("nowhere"))
    return History(Path("nowhere"), base)


def whole_or_nothing(data: bytes) -> None:
    """Take a file in: either it is refused with a message and leaves nothing, or all of it can be given out again."""
    with in_memory() as history:
        try:
            new, _ = imported(history, io.BytesIO(data), "hostile", at=5.0)
        except MalformedRecord as error:  # and nothing else
            new, said = 0, len(error.message)
        else:
            said = 0
        assert said < 1000
        runs = queries.runs(history)
        assert len(runs) == new
        assert len(list(exported(history, runs))) == new
        if not new:
            assert not any(history.rows(f"SELECT 1 FROM {t}") for t in ("profile", "measurement", "test", "usage"))


def test_the_sound_line_is_sound() -> None:
    with in_memory() as history:
        assert take(history, json.dumps(SOUND)) == (1, 0)


@given(st.sampled_from(PLACES), ANYTHING, st.booleans())
def test_a_damaged_line_is_whole_or_nothing(path: tuple[Any, ...], value: Any, remove: bool) -> None:
    whole_or_nothing(json.dumps(damaged(SOUND, path, value, remove=remove)).encode())


@given(st.data())
def test_damaged_bytes_are_whole_or_nothing(data: st.DataObject) -> None:
    text = bytearray(json.dumps(SOUND).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    whole_or_nothing(bytes(text))


@given(ANYTHING)
def test_any_json_is_whole_or_nothing(value: Any) -> None:
    whole_or_nothing(json.dumps(value).encode())


def test_sqlite_is_asked_to_hold_references(empty: History) -> None:
    with pytest.raises(HilError, match="FOREIGN KEY"):
        empty.writer("no such run").tested(Result("t", "passed"))
    assert sqlite3.sqlite_version_info >= (3, 24)
