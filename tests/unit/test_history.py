"""The history: what is written is read, by many at once, after a kill, from older files; and what cannot be is told."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import MalformedRecord, StateFailed, UsageError
from hil.record import History, Result, Subject, Usage, queries, schema
from hil.record.history import LONGEST_MESSAGE, history_file, storable
from hil.record.origin import Origin, here
from tests.support import history_writers
from tests.support.records import SHA256, profile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "h.sqlite"


@pytest.fixture
def history(file: Path) -> Iterator[History]:
    with History.open(file) as found:
        yield found


def origin(number: int = 0, **changes: object) -> Origin:
    made = Origin(f"run-{number:04}", 1000.0 + number, "pytest", "host", 1, "0.1.0", "r" * 40, "main", False, "bench")
    return replace(made, **changes)  # type: ignore[arg-type]


# -- what is written is read -------------------------------------------------------------------------------------------


def test_a_run_is_read_as_it_was_written(history: History) -> None:
    test = Result("t.py::test_a[x]", "failed", "device", 1.5, "kws", "rp2040", "pico-a", "fault", "log", 1001.0)
    usage = Usage("serial A", "pico-a", "infrastructure", "gone", 1002.0)
    with history.run(origin()) as run:
        found = run.profiled(profile(latency=7188.0), place="pico-a", identity="serial A", at=1000.5)
        run.tested(test)
        run.used(usage)
        run.verdict("pass")
    (read,) = queries.runs(history)
    assert (read.origin, read.verdict) == (origin(), "pass")
    (kept,) = queries.profiles(history, read.id)
    assert kept.record == profile(latency=7188.0)
    assert (kept.place, kept.identity, kept.at, kept.run) == ("pico-a", "serial A", 1000.5, read.id)
    assert queries.series(history, found.subject, "latency")[0].identity == "serial A"
    assert kept.found.subject == found.subject == Subject("kws", "rp2040", 1, 1, "virtual")
    assert kept.found.model_sha256 == SHA256
    assert {m.name: m for m in kept.found.measurements} == {m.name: m for m in found.measurements}
    assert queries.tests(history, read.id) == (test,)
    assert queries.usages_of(history, read.id) == queries.usages(history, "serial A") == (usage,)
    assert queries.used_boards(history) == ["serial A"]
    assert queries.subjects(history) == (found.subject,)


def test_a_run_without_a_verdict_has_failed(history: History) -> None:
    with pytest.raises(ZeroDivisionError), history.run(origin()):
        raise ZeroDivisionError
    (run,) = queries.runs(history)
    assert run.verdict == "fail"
    assert run.ended is not None


def test_a_series_is_of_one_subject_and_measurement(history: History) -> None:
    for number in range(6):
        branch = "main" if number % 2 else "side"
        with history.run(origin(number, branch=branch, revision=f"r{number}")) as run:
            run.profiled(profile(latency=100.0 + number), at=2000.0 + number)
            run.profiled(profile("other", latency=1.0), at=2000.0 + number)
            if number == 3:
                run.profiled(profile(latency=9.0, verdict="fail"), at=2003.5)
            run.verdict("fail" if number == 5 else "pass")
    subject = Subject("kws", "rp2040", 1, 1, "virtual")

    def values(**options: object) -> list[float]:
        found = queries.series(history, subject, "latency", **options)  # type: ignore[arg-type]
        assert [p.at for p in found] == sorted(p.at for p in found)
        return [p.measurement.value for p in found]

    assert values() == [100, 101, 102, 103, 9, 104, 105]
    assert values(most=2) == [104, 105]
    assert values(branch="main") == [101, 103, 9, 105]
    assert values(before=2003.0) == [100, 101, 102]
    assert values(good=True) == [100, 101, 102, 103, 104]
    assert values(good=True, branch="main", most=1) == [103]
    point = queries.series(history, subject, "latency")[0]
    assert (point.revision, point.branch, point.measurement.samples) == ("r0", "side", (100.0, 100.0))
    assert queries.series(history, subject, "no such measurement") == ()


def test_runs_by_name(history: History) -> None:
    for number in range(12):
        history.begin(origin(number))
    assert queries.run_named(history, "last").id == "run-0011"
    assert queries.run_named(history, "last~3").id == "run-0008"
    assert queries.run_named(history, "run-0007").id == "run-0007"
    for name, why in (
        ("run-00", "several runs"), ("x", "no run"), ("last~12", "has 12 runs"), ("last~x", "no run"),
        (f"last~{9**999}", "no run"), ("", "several"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            queries.run_named(history, name)


def test_an_id_is_a_name_even_if_others_begin_with_it(history: History) -> None:
    history.begin(origin(id="a"))
    history.begin(origin(1, id="a-1"))
    assert queries.run_named(history, "a").id == "a"


def test_a_forgotten_run_is_gone_with_all_that_was_of_it(history: History, file: Path) -> None:
    for number in range(3):
        with history.run(origin(number)) as run:
            run.profiled(profile())
            run.tested(Result("t", "passed"))
            run.used(Usage("serial A", "a", "well"))
    history.forget(["run-0001"])
    assert [run.id for run in queries.runs(history)] == ["run-0002", "run-0000"]
    base = sqlite3.connect(file)
    counts = [base.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("profile", "test", "usage")]
    assert counts == [2, 2, 2]
    assert base.execute("SELECT count(*) FROM measurement").fetchone()[0] % 2 == 0
    assert base.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_record_that_is_none_leaves_nothing(history: History) -> None:
    run = history.begin(origin())
    with pytest.raises(MalformedRecord):
        run.profiled(profile() | {"latency": {}})
    assert queries.profiles(history, run.id) == ()


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.integers(100, 300))
def test_any_text_can_be_kept(text: str, most: int) -> None:
    kept = storable(text, most)
    assert len(kept) <= most
    assert kept.encode().decode() == kept  # no lone surrogates
    assert "\0" not in kept


def test_long_text_keeps_its_beginning_and_its_end(history: History) -> None:
    run = history.begin(origin())
    run.tested(Result("t", "failed", "assertion", message="a" * 100 + "b" * 10**7 + "c" * 100, log="\0\ud800"))
    (test,) = queries.tests(history, run.id)
    assert len(test.message) == LONGEST_MESSAGE
    assert test.message.startswith("a" * 100)
    assert test.message.endswith("c" * 100)
    assert test.log == "\N{REPLACEMENT CHARACTER}?"


def test_where_the_history_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("HIL_HISTORY", raising=False)
    assert history_file() == tmp_path / "history.sqlite"
    monkeypatch.setenv("HIL_HISTORY", "elsewhere")
    assert history_file() == Path("elsewhere")


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
def test_who_may_write_in_the_folder_may_write_in_the_file(mode: int, tmp_path: Path) -> None:
    """Whatever the umask is; and in the log beside it."""
    folder = tmp_path / "lab"
    folder.mkdir()
    folder.chmod(mode)
    with History.open(folder / "h.sqlite") as history:
        history.begin(origin())
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(["h.sqlite", "h.sqlite-wal", "h.sqlite-shm"], mode & 0o666)


def test_reading_makes_no_file(file: Path) -> None:
    with pytest.raises(UsageError, match=f"there is no history at {file}"):
        History.open(file, make=False)
    assert not file.exists()


def test_where_a_run_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a checkout there is no revision; on a checkout without a branch, CI's word counts."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = here("bench", folder=tmp_path)
    assert (found.revision, found.branch, found.dirty) == ("", "", False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "a").write_text("1")
    for words in (["init", "-q", "-b", "trunk"], ["add", "a"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    assert (here("bench", folder=tmp_path).branch, here("bench", folder=tmp_path).dirty) == ("trunk", False)
    (tmp_path / "a").write_text("2")
    subprocess.run([*git, "checkout", "-q", "--detach"], check=True)
    monkeypatch.setenv("GITHUB_HEAD_REF", "feature")
    found = here("bench", folder=tmp_path)
    assert (len(found.revision), found.branch, found.dirty) == (40, "feature", True)


SERIES = Subject("kws", "rp2040", 1, 1, "virtual")
QUESTIONS: dict[str, Callable[[History], object]] = {
    "series": lambda history: queries.series(history, SERIES, "latency", branch="main", before=2e9, good=True),
    "profiles": lambda history: queries.profiles(history, "run-0000"),
    "tests": lambda history: queries.tests(history, "run-0000"),
    "usages_of": lambda history: queries.usages_of(history, "run-0000"),
    "usages": lambda history: queries.usages(history, "serial A"),
    "tallies": lambda history: queries.tallies(history, ["run-0000"]),
    "runs": lambda history: queries.runs(history, since=5.0),
    "forget": lambda history: history.forget(["run-0000"]),
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_questions_are_answered_by_indices(what: str, history: History) -> None:
    """However long a history becomes; `python -m benchmarks.history_speed` says how quick that is."""
    with history.run(origin()) as run:
        run.profiled(profile(), at=1000.0)
        run.used(Usage("serial A", "a", "well"))
        run.verdict("pass")
    asked: list[str] = []
    history._base.set_trace_callback(asked.append)
    QUESTIONS[what](history)
    history._base.set_trace_callback(None)
    read = [text for text in asked if text.startswith(("SELECT", "DELETE"))]
    assert read
    for text in read:
        plan = [row["detail"] for row in history.rows(f"EXPLAIN QUERY PLAN {text}")]
        assert plan
        assert not any(step.startswith("SCAN") for step in plan), (text, plan)
        assert what != "series" or not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize(
    "more", [{"load": "ram"}, {"console": "rtt"}, {"load": "ram", "console": "rtt"}, {"objective": "ram"}]
)
def test_what_was_built_otherwise_is_another_subject(more: dict[str, str], history: History) -> None:
    """An image in RAM takes no flash, and a plan with line buffers less RAM: neither is a baseline of the other."""
    with history.run(origin()) as run:
        usual, other = run.profiled(profile()), run.profiled(profile(**more))
    assert usual.subject != other.subject
    assert len(queries.subjects(history)) == 2
    assert len(queries.series(history, other.subject, "flash")) == 1
    assert " ".join(more.values()) in str(other.subject).replace(",", "")


# -- many at once, and killed ------------------------------------------------------------------------------------------


def test_a_hundred_writers_of_which_twenty_are_killed(file: Path) -> None:
    """What a writer was told is kept is there, whole; of what it was not told, nothing is there in part."""
    done = subprocess.run(
        [sys.executable, history_writers.__file__, str(file), "20261128"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("20 killed, 80 done, failed: {}")
    base = sqlite3.connect(file)
    assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert base.execute("PRAGMA foreign_key_check").fetchall() == []
    told = [line.split() for line in Path(f"{file}.acknowledged").read_text().splitlines()]
    assert len(told) >= 80 * history_writers.RUNS
    whole = dict(base.execute("SELECT run.id, count(*) FROM run JOIN profile ON run = run.id WHERE ended GROUP BY 1"))
    assert {run: int(profiles) for run, profiles in told}.items() <= whole.items()
    # A profile has all its measurements, or is not there.
    counts = base.execute(
        "SELECT count(m.name) FROM profile LEFT JOIN measurement m ON profile = profile.id GROUP BY profile.id"
    )
    assert {count for (count,) in counts} == {13}
    with History.open(file) as history:
        for run, _ in told:
            assert queries.run_named(history, run).verdict == "pass"


def test_what_is_not_committed_is_not_seen(file: Path) -> None:
    with History.open(file) as one, History.open(file) as other:
        one.begin(origin())
        with pytest.raises(ZeroDivisionError), one.changing():  # noqa: PT012 - what goes before is the point
            one.writer("run-0000").tested(Result("t", "passed"))
            assert queries.tests(other, "run-0000") == ()
            raise ZeroDivisionError
        assert queries.tests(one, "run-0000") == ()


def test_the_store_is_light() -> None:
    """A hundred processes may write: none of them waits for the planner."""
    code = (
        "import sys; from hil.record import History, queries, imported, found_in, Usage;"
        "print(sorted({'numpy', 'rich', 'serial', 'unicorn', 'hil.plan', 'hil.api'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "[]\n"


# -- versions ----------------------------------------------------------------------------------------------------------

NEXT = """
ALTER TABLE run ADD COLUMN mood TEXT NOT NULL DEFAULT 'fine';
CREATE INDEX run_by_mood ON run (mood);
"""


def connected(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None)


@pytest.mark.parametrize("version", range(len(schema.MIGRATIONS) + 1))
def test_an_older_file_is_migrated(version: int, file: Path) -> None:
    """From every version that there was to today's, and to a next one, with what is in it."""
    migrations = (*schema.MIGRATIONS, NEXT)
    base = connected(file)
    if version:
        schema.migrate(base, file, migrations[:version])
        base.execute("INSERT INTO run VALUES ('a', 1, NULL, 'c', 'h', 1, 'v', 'r', 'b', 0, 'bench', NULL)")
    schema.migrate(base, file, migrations)
    assert base.execute("PRAGMA user_version").fetchone() == (len(migrations),)
    assert base.execute("SELECT id, mood FROM run").fetchall() == ([("a", "fine")] if version else [])
    schema.migrate(base, file, migrations)


def test_a_migration_that_fails_changes_nothing(file: Path) -> None:
    base = connected(file)
    schema.migrate(base, file)
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(base, file, (*schema.MIGRATIONS, NEXT + "CREATE TABLE run (id);"))
    assert base.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    schema.migrate(base, file, (*schema.MIGRATIONS, NEXT))
    assert base.execute("SELECT mood FROM run").fetchall() == []


def test_a_file_of_a_newer_hil_is_refused_as_it_is(file: Path) -> None:
    base = connected(file)
    schema.migrate(base, file, (*schema.MIGRATIONS, NEXT))
    base.close()
    before = file.read_bytes()
    with pytest.raises(StateFailed, match=rf"is of version {len(schema.MIGRATIONS) + 1} of the history") as caught:
        History.open(file)
    assert caught.value.hint == "pip install -U pytest-hil"
    assert file.read_bytes()[100:] == before[100:]


def test_another_programs_database_is_refused_as_it_is(file: Path) -> None:
    base = connected(file)
    base.execute("CREATE TABLE cookies (a)")
    base.close()
    with pytest.raises(StateFailed, match="is a database of another program"):
        History.open(file)
    assert connected(file).execute("SELECT name FROM sqlite_schema").fetchall() == [("cookies",)]


# -- what cannot be written or read ------------------------------------------------------------------------------------


@pytest.fixture
def others_place() -> Iterator[Path]:
    """A folder that we may look into and not write in, whoever we are."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def become_unprivileged(folder: Path) -> None:
    folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_a_folder_that_cannot_be_written(others_place: Path) -> None:
    become_unprivileged(others_place)
    for place in (others_place / "h.sqlite", others_place / "deeper" / "h.sqlite"):
        with pytest.raises(StateFailed, match=rf"the history {place}: ") as caught:
            History.open(place)
        assert caught.value.hint == f"ls -ld {place.parent} {place}; or another place: HIL_HISTORY=FILE"


def test_a_file_that_cannot_be_written(others_place: Path) -> None:
    file = others_place / "h.sqlite"
    History.open(file).close()
    file.chmod(0o444)
    become_unprivileged(others_place)
    with pytest.raises(StateFailed, match=rf"the history {file}: ") as caught, History.open(file) as history:
        history.begin(origin())
    assert caught.value.hint is not None


@pytest.mark.parametrize("damage", ["not a database", "the first page", "a page within", "cut short"])
def test_a_damaged_file(damage: str, file: Path) -> None:
    with History.open(file) as history:
        run = history.begin(origin())
        for number in range(40):
            run.profiled(profile(latency=float(number)))
    data = bytearray(file.read_bytes())
    if damage == "not a database":
        data = bytearray(b"{}\n" * 3000)
    elif damage == "the first page":
        data[100:4096] = b"\xff" * 3996
    elif damage == "a page within":
        data[4096 : len(data)] = b"\xaa" * (len(data) - 4096)
    else:
        del data[6000:]
    file.write_bytes(data)

    def use() -> None:
        with History.open(file) as history:
            queries.runs(history)
            queries.profiles(history, "run-0000")
            history.begin(origin(1))

    with pytest.raises(StateFailed, match=rf"the history {file}: ") as caught:
        use()
    folder = file.parent
    assert caught.value.hint == f"mkdir {folder}/damaged && mv {file}* {folder}/damaged"
    subprocess.run(caught.value.hint, shell=True, check=True)
    with History.open(file) as history:
        assert queries.runs(history) == ()


def test_a_disk_that_is_full(file: Path) -> None:
    """What was written before stays; the message names the disk. A limit of the process stands in for the disk's."""
    with History.open(file) as history:
        run = history.begin(origin())
        run.profiled(profile())
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            with pytest.raises(StateFailed) as caught:
                deque(run.profiled(profile()) for _ in range(10_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.hint == f"df -h {file.parent}; or another place: HIL_HISTORY=FILE"
        kept = len(queries.profiles(history, "run-0000"))
        assert kept >= 1
        run.profiled(profile())  # there is room again
        assert len(queries.profiles(history, "run-0000")) == kept + 1
    assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_who_holds_it_too_long_is_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hil.record.history.PATIENCE", 0.05)
    with History.open(file) as one, History.open(file) as other, one.changing():
        with pytest.raises(StateFailed, match="locked") as caught:
            other.begin(origin())
        assert caught.value.hint == f"fuser -v {file}"
