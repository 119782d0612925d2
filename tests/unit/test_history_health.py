"""Flaky boards: what speaks against a board and what does not, its score, and when it is set aside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import cli
from hil.bench import LocalBench, lab, local
from hil.bench.recovery import NotRevived
from hil.bench.state import State
from hil.bench.station import Trouble
from hil.errors import (
    BoardMissing,
    BoardQuarantined,
    BuildFailed,
    DeviceFault,
    DeviceHang,
    FlashFailed,
    HilError,
    LabFileError,
    LinkLost,
    LinkTimeout,
    NodeLost,
    ToolMissing,
    WireFailed,
)
from hil.record import History, Usage, Uses, queries
from hil.record.health import LAST, Guard, health_in, health_of
from tests.support import fakes
from tests.support.fakes import FakeDut, FakeStation, deployed
from tests.unit.test_history import origin
from tests.unit.test_history_plugin import LAB
from tests.unit.test_plugin import FAKES, ON, _clean, properties, text  # noqa: F401 - a fixture of theirs

OUTCOMES = st.lists(st.sampled_from(["well", "infrastructure", "device"]), max_size=2 * LAST)
PLUGGED = """
schema = 1
state = "{state}"
{more}
[board.a]
kind = "rp2040"
port = "loop://a"
[board.b]
kind = "rp2040"
port = "loop://b"
"""


def usages(outcomes: list[Any]) -> list[Usage]:
    """Uses of one board, newest first."""
    return [Usage("serial A", "pico-a", outcome, "gone" * (outcome != "well")) for outcome in outcomes]


# -- the score ---------------------------------------------------------------------------------------------------------


@given(OUTCOMES)
def test_a_score_is_a_probability_that_only_infrastructure_lowers(outcomes: list[str]) -> None:
    found = health_in("serial A", usages(outcomes))
    assert 0 < found.score < 1
    assert found.uses == min(len(outcomes), LAST)
    assert found.bad == outcomes[:LAST].count("infrastructure")
    innocent = ["well" if outcome == "device" else outcome for outcome in outcomes]
    assert health_in("serial A", usages(innocent)).score == found.score, "what the device did is not the board's fault"
    assert (
        health_in("serial A", usages(["infrastructure", *outcomes])).score < found.score
        or found.bad == LAST
        or (found.uses == LAST and outcomes[LAST - 1] == "infrastructure")
    )


@pytest.mark.parametrize(("before", "aside_after"), [(0, 3), (1, 4), (10, 8), (20, 9), (1000, 9)], ids=str)
def test_how_many_bad_uses_in_a_row_it_takes(before: int, aside_after: int) -> None:
    """The figures of docs/history.md."""
    bad = next(n for n in range(99) if health_in("x", usages(["infrastructure"] * n + ["well"] * before)).score < 0.7)
    assert bad == aside_after


# -- quarantine --------------------------------------------------------------------------------------------------------


@dataclass
class Room:
    """A history, a lab with two boards, and its state."""

    history: History
    file: Path
    state: State
    lab: lab.Lab = field(init=False)

    def __post_init__(self) -> None:
        self.lab = lab.load(self.file)

    def guard(self) -> Guard:
        return Guard(self.history, self.history.begin(origin(time.monotonic_ns())), self.lab)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    file = tmp_path / "lab.toml"
    file.write_text(PLUGGED.format(state=tmp_path / "state", more=""))
    with History.open(tmp_path / "h.sqlite") as history:
        yield Room(history, file, State(tmp_path / "state"))


def use(guard: Guard, outcome: Any, at: float, board: str = "port loop://a") -> None:
    guard.used(Usage(board, board[-1], outcome, "no answer", at))


def test_a_board_that_fails_too_often_is_set_aside_with_its_figures(room: Room) -> None:
    guard = room.guard()
    for at, outcome in enumerate(["well", "infrastructure", "well", "infrastructure", "device", "infrastructure"]):
        use(guard, outcome, at + 1.0)
    assert room.state.quarantined("port loop://a") is None
    use(guard, "infrastructure", 7.0)
    use(guard, "infrastructure", 8.0)
    aside = room.state.quarantined("port loop://a")
    assert aside is not None
    assert aside.board == "a"
    assert aside.reason == "health 0.67, 5 of 8 uses bad: below 0.7; last: no answer"
    assert guard.told == [f"a is set aside: {aside.reason}"]
    assert room.state.quarantined("port loop://b") is None


def test_devices_that_fail_set_no_board_aside(room: Room) -> None:
    guard = room.guard()
    for at in range(50):
        use(guard, "device", at + 1.0)
    assert room.state.quarantined("port loop://a") is None
    assert guard.told == []


def test_a_released_board_begins_anew(room: Room) -> None:
    guard = room.guard()
    for at in range(3):
        use(guard, "infrastructure", at + 1.0)
    assert room.state.release("port loop://a")
    assert health_of(room.history, "port loop://a", room.state).uses == 0
    now = time.time() + 10
    use(guard, "infrastructure", now)
    assert room.state.quarantined("port loop://a") is None
    use(guard, "infrastructure", now + 1)
    use(guard, "infrastructure", now + 2)
    assert room.state.quarantined("port loop://a") is not None
    assert len(queries.usages(room.history, "port loop://a")) == 6, "nothing is forgotten"


@pytest.mark.parametrize(("least", "takes"), [("0", None), ("0.85", 1), ("1", 1), ("0.6", 6)])
def test_the_lab_file_says_how_poor_is_too_poor(least: str, takes: int | None, room: Room) -> None:
    room.file.write_text(PLUGGED.format(state=room.state.folder, more=f"health = {least}"))
    guard = Room(room.history, room.file, room.state).guard()
    for count in range(1, 40):
        use(guard, "infrastructure", float(count))
        if room.state.quarantined("port loop://a"):
            break
    assert (count if room.state.quarantined("port loop://a") else None) == takes


@pytest.mark.parametrize("value", ["2", "-1", "'well'", "true"])
def test_a_wrong_threshold_is_refused(value: str, room: Room) -> None:
    room.file.write_text(PLUGGED.format(state="/s", more=f"health = {value}"))
    with pytest.raises(LabFileError, match=r"health: expected a number in 0..1"):
        lab.load(room.file)


# -- what speaks against a board ---------------------------------------------------------------------------------------


class LabStation(FakeStation):
    """A fake board that is one of a lab's."""

    def __init__(self, recovery: tuple[str, ...] = (), passed_over: tuple[Trouble, ...] = ()) -> None:
        super().__init__("hardware")
        self.identity, self.name = "serial A", "pico-a"
        self.recovery, self.passed_over = recovery, passed_over


def outcome_of(error: Exception | None, station: LabStation | None = None) -> list[tuple[str, str, str]]:
    noted: list[Usage] = []
    uses = Uses(noted.append)
    uses.began(FakeDut(deployed(), station or LabStation()))
    if error is not None:
        uses.failed(error)
    uses.ended()
    uses.ended()
    return [(usage.board, usage.outcome, usage.what) for usage in noted]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "well"),
        (AssertionError("wrong answer"), "well"),
        (BuildFailed("no"), "well"),
        (ToolMissing("no"), "well"),
        (WireFailed("not heard"), "well"),
        (LinkLost("gone"), "infrastructure"),
        (LinkTimeout("deaf"), "infrastructure"),
        (NodeLost("gone"), "infrastructure"),
        (FlashFailed("no"), "infrastructure"),
        (BoardMissing("gone"), "infrastructure"),
        (DeviceFault("HardFault"), "device"),
        (DeviceHang("never done"), "device"),
    ],
)
def test_errors_and_boards(error: Exception | None, outcome: str) -> None:
    what = error.message if outcome != "well" and isinstance(error, HilError) else ""
    assert outcome_of(error) == [("serial A", outcome, what)]


def test_a_board_that_had_to_be_revived_was_not_well() -> None:
    story = ("flash: silence", "reset: well again")
    assert outcome_of(None, LabStation(story)) == [("serial A", "infrastructure", "; ".join(story))]
    assert outcome_of(DeviceFault("x"), LabStation(story)) == [("serial A", "infrastructure", "; ".join(story))]


def test_boards_that_were_passed_over_are_told_too() -> None:
    found = outcome_of(None, LabStation(passed_over=(("serial B", "pico-b", "dead"),)))
    assert found == [("serial B", "infrastructure", "dead"), ("serial A", "well", "")]


PICO = deployed().image


def brought_up(monkeypatch: pytest.MonkeyPatch, errors: dict[str, HilError]) -> None:
    def bring_up(board: lab.LabBoard, *_: object, **__: object) -> tuple[str, ...]:
        if board.name in errors:
            raise errors[board.name]
        return ()

    monkeypatch.setattr(local, "bring_up", bring_up)


def started(bench: LocalBench) -> list[tuple[str, str, str]]:
    """What a start that is watched notes."""
    noted: list[Usage] = []
    uses = Uses(noted.append)
    with pytest.raises(HilError), uses.watched(), bench.start("rp2040", PICO) as station:  # noqa: PT012
        uses.began(FakeDut(deployed(), station))  # type: ignore[arg-type]
        raise LinkLost("gone")
    return [(usage.name, usage.outcome, usage.what) for usage in noted]


def test_a_bench_says_which_boards_failed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = LocalBench(room.lab, "hardware")
    brought_up(monkeypatch, {"a": NotRevived("a is dead", ("flash: silence",))})
    assert started(bench) == [("a", "infrastructure", "a is dead"), ("b", "infrastructure", "gone")]


def test_a_board_that_is_not_there_is_noted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    brought_up(monkeypatch, {"a": BoardMissing("no port carries a")})
    assert started(LocalBench(room.lab, "hardware")) == [("a", "infrastructure", "no port carries a")]


def test_a_missing_tool_speaks_against_no_board(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    brought_up(monkeypatch, {"a": ToolMissing("no pyocd")})
    assert started(LocalBench(room.lab, "hardware")) == []


def test_an_image_that_kills_boards_is_the_images_fault(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = {name: NotRevived(f"{name} is dead", ("flash: silence",)) for name in "ab"}
    brought_up(monkeypatch, dict(dead))
    assert started(LocalBench(room.lab, "hardware")) == [("a", "infrastructure", "a is dead")]
    assert room.state.quarantined("port loop://b") is None


def test_a_lab_without_boards_notes_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        room.state.set_aside(f"port loop://{name}", name, "x", "y")
    with pytest.raises(BoardQuarantined):
        LocalBench(room.lab, "hardware").start("rp2040", PICO).__enter__()
    assert started(LocalBench(room.lab, "hardware")) == []


# -- shown -------------------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    status = cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_boards_and_their_health_are_shown(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = room.guard()
    for at in range(3):
        use(guard, "infrastructure", at + 1.0, "port loop://b")
        use(guard, "well", at + 1.0)
    args = ("--bench", room.file, "--history", room.history.file)
    status, out, err = run(capsys, "record", "boards", *args, "--json", "-")
    assert (status, err) == (0, "")
    b, a = json.loads(out)["boards"]
    assert (b["board"], b["score"], b["bad"], b["set_aside"]) == ("port loop://b", 0.6923, 3, True)
    assert (a["board"], a["score"], a["bad"], a["set_aside"]) == ("port loop://a", 0.9231, 0, False)
    assert "set aside" in run(capsys, "record", "boards", *args)[1]
    found = json.loads(run(capsys, "boards", *args, "--json", "-")[1])["boards"]
    places = next(board for board in found if board["name"] == "rp2040")["reachable"]
    assert [(p["score"], p["uses"]) for p in places] == [(0.9231, 3), (0.6923, 3), (None, 0)]
    monkeypatch.setenv("COLUMNS", "200")
    assert "health 0.92 over 3 uses" in run(capsys, "boards", *args)[1]


def test_boards_without_a_history(room: Room, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, _ = run(capsys, "boards", "--bench", room.file, "--json", "-")
    assert status == 0
    assert not any(p["score"] for board in json.loads(out)["boards"] for p in board["reachable"])
    assert run(capsys, "boards", "--history", tmp_path / "absent")[0] == 2


# -- in a session ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_clean")
def test_a_board_that_fails_in_a_session_is_set_aside_in_it(pytester: pytest.Pytester) -> None:
    """After three failures; the line below the table and the property of the test say why."""
    state = Path(os.environ["HIL_STATE_DIR"])
    pytester.makeconftest(FAKES + LAB)
    pytester.makepyfile("""
        import pytest
        from hil import errors
        @pytest.mark.parametrize("n", range(3))
        def test_a(dut, n): raise errors.LinkLost(f"gone {n}")
    """)
    result = pytester.runpytest(*ON, "--hil-history=h.sqlite", "--junitxml=r.xml")
    try:
        aside = State(state).quarantined("serial A")
    finally:
        State(state).release("serial A")
    assert aside is not None
    assert aside.reason == "health 0.69, 3 of 3 uses bad: below 0.7; last: gone 2"
    assert f"recovered: pico-a is set aside: {aside.reason}" in text(result)
    found = properties(pytester.path / "r.xml")
    assert "hil.recovery" not in found["test_a[tiny-rp2040-1core-0]"]
    assert found["test_a[tiny-rp2040-1core-2]"]["hil.recovery"] == f"pico-a is set aside: {aside.reason}"


@pytest.mark.usefixtures("_clean")
def test_an_assertion_is_never_retried(pytester: pytest.Pytester) -> None:
    """A wrong answer is told once, by the one run that gave it, and the board stays."""
    pytester.makeconftest(FAKES + LAB)
    pytester.makepyfile("""
        import conftest, pathlib
        def ran(name):
            with pathlib.Path("ran").open("a") as log:
                log.write(f"{name} {len(conftest.BOARDS)}\\n")
        def test_a(dut):
            ran("a")
            assert False
        def test_b(dut):
            dut.flip = 1
        def test_c(profile, dut):
            ran("c")
            assert profile.passed
        def test_d(profile, dut):
            ran("d")
            assert profile.passed
    """)
    pytester.runpytest(*ON, "--hil-history=h.sqlite").assert_outcomes(failed=3, passed=1)
    assert (pytester.path / "ran").read_text().split("\n") == ["a 1", "c 1", "d 1", ""]
    with History.open(pytester.path / "h.sqlite") as history:
        (found,) = queries.runs(history)
        assert [test.cause for test in queries.tests(history, found.id)] == ["assertion", "", "assertion", "assertion"]
        (kept,) = queries.profiles(history, found.id)
        assert kept.identity == "serial A"
        assert [usage.outcome for usage in queries.usages_of(history, found.id)] == ["well"]


def test_a_wrong_answer_of_hil_profile_is_not_retried(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    boards = fakes.install(monkeypatch)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(FakeDut, "infer", broken_answer(FakeDut.infer))
    file = tmp_path / "h.sqlite"
    status, out, _ = run(capsys, "profile", tiny, "--board", "rp2040", "--history", file)
    assert status == 1
    assert len(boards) == 1
    with History.open(file) as history:
        (found,) = queries.runs(history)
        assert f"history: run {found.id} in {file}" in out
        (test,) = queries.tests(history, found.id)
        assert (test.outcome, test.cause, test.model) == ("failed", "assertion", "tiny")
        assert "elements differ" in test.message
        (profile,) = queries.profiles(history, found.id)
        assert not profile.found.passed


def broken_answer(infer: Any) -> Any:
    def flipped(self: FakeDut, *args: Any, **options: Any) -> Any:
        self.flip = 1
        return infer(self, *args, **options)

    return flipped
