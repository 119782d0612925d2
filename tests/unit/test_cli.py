"""The `hil` command: exit statuses, JSON alone where it is asked for, and messages that people can act on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hil
from hil import api, cli, errors
from hil.errors import DoesNotFit, HilError
from tests.support import fakes
from tests.support.fakes import FakeDut, tiny_model

COMMANDS = ["boards", "doctor", "plan", "build", "profile", "test"]
ERRORS = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, HilError) and c is not DoesNotFit]


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> list[FakeDut]:
    """Fake boards; gives those that were started."""
    return fakes.install(monkeypatch)


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    status = cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def usage_error(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    assert caught.value.code == 2
    assert captured.out == ""
    return captured.err


HIL = [sys.executable, "-c", "import sys; from hil.cli import main; sys.exit(main())"]


def as_a_process(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HIL, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"COLUMNS": "80"},
    )


# -- help --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", ["80", "200"])
@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help(
    command: str | None, width: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    with pytest.raises(SystemExit) as caught:
        cli.main([*([command] if command else []), "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: hil {command or ''}".rstrip())
    if command is None:
        assert all(f"    {known} " in out for known in COMMANDS)
        assert all(f"{status} " in out.split("exit status:")[1] for status in range(6))
    else:
        assert command == "test" or "--json PATH" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"hil {hil.__version__}\n"


# -- usage: 2 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["profile"], "MODEL"),
        (["profile", "m.tflite"], "--board"),
        (["test", "m.tflite"], "--board"),
        (["profile", "m.tflite", "--board", "rp2040", "--inputs", "0"], "0 is not in 1..1000000000"),
        (["profile", "m.tflite", "--board", "rp2040", "--inputs", "many"], "'many' is not a whole number"),
        (["profile", "m.tflite", "--board", "rp2040", "--seed", "-1"], "-1 is not in 0.."),
        (["profile", "m.tflite", "--board", "rp2040", "--repeats", "0"], "0 is not in 1.."),
        (["profile", "m.tflite", "--board", "rp2040", "--warmup", "9999999999"], "is not in 0.."),
        (["profile", "m.tflite", "--board", "rp2040", "--max-latency-us", "nan"], "nan is not a time"),
        (["profile", "m.tflite", "--board", "rp2040", "--max-latency-us", "-5"], "-5 is not a time"),
        (["profile", "m.tflite", "--board", "rp2040", "--max-latency-us", "fast"], "'fast' is not a number"),
        (["profile", "m.tflite", "--board", "rp2040", "--max-ram", "1.5"], "'1.5' is not a whole number"),
        (["plan", "m.tflite", "--board", "rp2040", "--toolchain", "msvc"], "invalid choice: 'msvc'"),
        (["plan", "m.tflite", "--board", "rp2040", "--cores", "0"], "0 is not in 1.."),
        (["boards", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["test", "--board", "rp2040", "-k", "x"], "unrecognized arguments"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_wrong_words_are_refused_by_name(argv: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert why in usage_error(capsys, *argv)


@pytest.mark.parametrize("command", ["plan", "build", "profile"])
def test_a_missing_model(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, command, tmp_path / "absent.tflite", "--board", "rp2040")
    assert (status, out) == (2, "")
    assert err.startswith("hil: ")
    assert "absent.tflite" in err.replace("\n", "")


def test_a_folder_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "plan", tmp_path, "--board", "rp2040")
    assert (status, out) == (2, "")
    assert str(tmp_path) in err


@pytest.mark.parametrize("command", ["plan", "build", "profile"])
def test_an_unknown_board(command: str, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, command, tiny, "--board", "pico")
    assert (status, out) == (2, "")
    assert "no board is called 'pico'; known: " in err
    assert "  next: hil boards\n" in err


@pytest.mark.parametrize(("option", "value"), [("--cores", "3"), ("--nodes", "17")])
def test_more_than_there_can_be(option: str, value: str, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "plan", tiny, "--board", "rp2040", option, value)
    assert (status, out) == (2, "")
    assert f"{option} {value}: " in err


# -- refused: 3 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["plan", "build", "profile"])
@pytest.mark.parametrize("damage", ["truncated", "random", "empty"])
def test_a_malformed_model(command: str, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"truncated": tiny_model()[:-100], "random": bytes(range(256)) * 4, "empty": b""}[damage]
    path = tmp_path / f"{damage}.tflite"
    path.write_bytes(data)
    status, out, err = run(capsys, command, path, "--board", "rp2040", "--json", "-")
    assert (status, out) == (3, "")
    assert err.startswith(f"hil: model {damage}: ")
    assert "Traceback" not in err


def test_a_model_that_can_never_fit_is_refused_before_anything_is_built(
    tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wide.tflite"
    path.write_bytes(tiny_model(width=300_000))
    status, out, err = run(capsys, "profile", path, "--board", "rp2040")
    assert (status, out) == (3, "")
    for part in ("wide does not fit on rp2040", "300", "262144 are available", "operator 0 FULLY_CONNECTED"):
        assert part in err.replace("\n", " "), part
    assert not own_cache.exists()


# -- every error has its status ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ERRORS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("command", ["plan", "build", "profile"])
def test_every_error_has_its_exit_status(
    cls: type[HilError], command: str, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise cls("the board at port 7 burns", hint="fetch water")

    monkeypatch.setattr(api, "prepare" if command == "build" else command, fail)
    status, out, err = run(capsys, command, tiny, "--board", "rp2040", "--json", "-")
    assert status == cls.exit_status
    assert out == "", "an error leaves no half JSON"
    assert err == "hil: the board at port 7 burns\n  next: fetch water\n"


def test_long_messages_are_not_cut_into_lines(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paths and commands in messages are there to be copied."""

    def fail(*_: Any, **__: Any) -> None:
        raise errors.BuildFailed("x" * 300)

    monkeypatch.setattr(api, "plan", fail)
    assert run(capsys, "plan", tiny, "--board", "rp2040")[2] == f"hil: {'x' * 300}\n"


def test_messages_are_inert(tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise errors.DeviceFault("the device said [red]boo[/red]\x1b[2J\x07")

    monkeypatch.setattr(api, "plan", fail)
    err = run(capsys, "plan", tiny, "--board", "rp2040")[2]
    assert "[red]boo[/red]\N{REPLACEMENT CHARACTER}[2J" in err
    assert "\x1b" not in err


def test_ctrl_c(tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "profile", interrupted)
    assert run(capsys, "profile", tiny, "--board", "rp2040") == (130, "", "hil: interrupted; boards are freed\n")


def test_ctrl_c_frees_the_board(
    tiny: Path, boards: list[FakeDut], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeDut, "infer", interrupted)
    assert run(capsys, "profile", tiny, "--board", "rp2040")[0] == 130
    assert [dut.fake_station.alive_now for dut in boards] == [False]


# -- what commands give ------------------------------------------------------------------------------------------------


def test_boards(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "boards")
    assert (status, err) == (0, "")
    assert "rp2040" in out
    assert "virtual" in out
    record = json.loads(run(capsys, "boards", "--json", "-")[1])
    assert record["schema"] == "hil.boards/1"
    pico = next(board for board in record["boards"] if board["name"] == "rp2040")
    assert pico == {
        "name": "rp2040", "title": "Raspberry Pi Pico (RP2040)", "cores": 2, "clock_hz": 125_000_000,
        "ram": 264 << 10, "flash": 2 << 20,
        "reachable": [{"bench": "virtual", "where": "rp2040, started on demand", "held_by": None, "health": "well",
                       "score": None, "uses": 0}],
    }  # fmt: skip


def test_profile_on_a_fake_board(tiny: Path, boards: list[FakeDut], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "profile", tiny, "--board", "rp2040", "--inputs", "3", "--repeats", "4")
    assert (status, err) == (0, "")
    assert "0 of 28 elements differ, 3 inputs" in out, "1 warm-up, 4 repeats, 2 more inputs, of 4 elements each"
    assert "pass" in out
    (dut,) = boards
    assert dut.runs == 7
    assert not dut.fake_station.alive_now, "the board is freed"


def test_profile_as_json_is_the_same_twice(
    tiny: Path, boards: list[FakeDut], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (run(capsys, "profile", tiny, "--board", "rp2040", "--json", "-") for _ in range(2))
    assert first == second
    record = json.loads(first[1])
    assert (record["schema"], record["verdict"], record["model"]["name"]) == ("hil.profile/1", "pass", "tiny")
    assert record["outputs"]["inputs"] == 4


def test_a_seed_gives_other_inputs(tiny: Path, boards: list[FakeDut], capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[bytes] = []
    plain = FakeDut.infer

    def infer(self: FakeDut, inputs: Any) -> Any:
        seen.append(inputs[0].tobytes())
        return plain(self, inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeDut, "infer", infer)
        for seed in ("0", "1"):
            assert run(capsys, "profile", tiny, "--board", "rp2040", "--inputs", "1", "--seed", seed)[0] == 0
    assert len(set(seen)) == 2


@pytest.mark.parametrize(
    ("limit", "reason"),
    [(("--max-latency-us", "39.5"), "latency 40 us is over the limit of 39.5 us"),
     (("--max-ram", "1000"), "peak RAM 1514 bytes is over the limit of 1000")],
)  # fmt: skip
def test_over_a_limit_is_1(
    limit: tuple[str, str], reason: str, tiny: Path, boards: list[FakeDut], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(capsys, "profile", tiny, "--board", "rp2040", *limit, "--json", "-")
    record = json.loads(out)
    assert (status, record["verdict"], record["reasons"]) == (1, "fail", [reason])


def test_a_wrong_answer_is_1(
    tiny: Path, boards: list[FakeDut], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = FakeDut.__init__

    def wrong(self: FakeDut, *args: Any, **options: Any) -> None:
        plain(self, *args, **options)
        self.flip = 1

    monkeypatch.setattr(FakeDut, "__init__", wrong)
    status, out, _ = run(capsys, "profile", tiny, "--board", "rp2040")
    assert status == 1
    assert "differ from the reference" in out
    assert "  fail" in out.splitlines()


def test_layers_are_told_when_asked_for(tiny: Path, boards: list[FakeDut], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "profile", tiny, "--board", "rp2040", "--layers", "--json", "-")
    record = json.loads(out)
    assert status == 0
    assert [(x["operator"], x["elements"], x["mismatches"]) for x in record["layers"]] == [
        ("operator 0 FULLY_CONNECTED", 24, 0),
        ("operator 1 FULLY_CONNECTED", 16, 0),
    ]


def test_plan_on_a_fake_board(tiny: Path, boards: list[FakeDut], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "plan", tiny, "--board", "rp2040")
    assert status == 0
    assert "fits" in out
    record = json.loads(run(capsys, "plan", tiny, "--board", "rp2040", "--json", "-")[1])
    assert (record["schema"], record["fits"]) == ("hil.plan/1", True)
    assert boards == [], "planning touches no board"


# -- JSON in a file ----------------------------------------------------------------------------------------------------


def test_json_in_a_file_leaves_the_view_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "boards.json"
    status, out, _ = run(capsys, "boards", "--json", path)
    assert status == 0
    assert "rp2040" in out
    assert not out.startswith("{")
    assert json.loads(path.read_text())["schema"] == "hil.boards/1"
    path.write_text("old")
    assert run(capsys, "boards", "--json", path)[0] == 0
    assert json.loads(path.read_text())["schema"] == "hil.boards/1", "an old file is replaced"


def test_a_path_that_cannot_be_written_is_refused_before_anything_runs(
    tiny: Path, tmp_path: Path, boards: list[FakeDut], capsys: pytest.CaptureFixture[str]
) -> None:
    for path, why in ((tmp_path / "no" / "x.json", "there is no folder"), (tmp_path, "it is a folder")):
        status, out, err = run(capsys, "profile", tiny, "--board", "rp2040", "--json", path)
        assert (status, out) == (2, "")
        assert f"cannot write {path}: {why}" in err
    assert boards == []


def test_a_file_that_fails_on_writing_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    status, _, err = run(capsys, "boards", "--json", "/dev/full")
    assert status == 2
    assert "cannot write /dev/full: No space left" in err


# -- hil test ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--board", "rp2040"], ["--board=rp2040"]),
        (["a.tflite", "--board", "rp2040"], ["--board=rp2040", "--hil-model=a.tflite", "--hil-no-zoo"]),
        (["--board", "rp2040", "a.tflite", "b.tflite"],
         ["--board=rp2040", "--hil-model=a.tflite", "--hil-model=b.tflite", "--hil-no-zoo"]),
        (["--board", "rp2040", "--", "-k", "latency", "--", "x"], ["--board=rp2040", "-k", "latency", "--", "x"]),
        (["--board", "rp2040", "a.tflite", "--", "--hil-inputs=1"],
         ["--board=rp2040", "--hil-model=a.tflite", "--hil-no-zoo", "--hil-inputs=1"]),
    ],
)  # fmt: skip
def test_hil_test_is_pytest_on_the_suite(argv: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def fake_main(words: list[str]) -> int:
        called.append(words)
        return 0

    monkeypatch.setattr(pytest, "main", fake_main)
    assert cli.main(["test", *argv]) == 0
    assert [word for word in called[0] if not word.startswith("-W")] == ["--pyargs", "hil.suite", *expected]


@pytest.mark.parametrize(("pytests", "ours"), [(0, 0), (1, 1), (2, 130), (3, 4), (4, 2), (5, 2)])
def test_pytests_exit_codes_become_ours(pytests: int, ours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest, "main", lambda _: pytest.ExitCode(pytests))
    assert cli.main(["test", "--board", "rp2040"]) == ours


# -- as a process ------------------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        found = subprocess.run([*HIL, "boards"], stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (found.returncode, found.stderr) == (0, b"")


def test_statuses_reach_the_shell(tmp_path: Path) -> None:
    (tmp_path / "random.tflite").write_bytes(b"\x00" * 500)
    assert as_a_process("boards").returncode == 0
    assert as_a_process("plan").returncode == 2
    refused = as_a_process("plan", tmp_path / "random.tflite", "--board", "rp2040")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("hil: model random: ")


def test_no_progress_where_there_is_no_terminal(tiny: Path) -> None:
    found = as_a_process("plan", tiny, "--board", "rp2040", "--json", "-")
    assert found.returncode == 0
    assert found.stderr == ""
    assert json.loads(found.stdout)["fits"] is True


def test_help_does_not_load_what_it_does_not_need() -> None:
    """The command line is used by people: the emulator and pytest are loaded by the commands that need them."""
    code = "import sys, hil.cli; hil.cli.parser(); print(sorted({'unicorn', 'pytest', 'ziglang'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "[]\n"
