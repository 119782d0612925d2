"""The calls behind every door, and what is refused before, and right after, a board is started."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hil import api, board, dut
from hil.deployment import Deployment, Say
from hil.errors import BoardMissing, DeviceRefused, FlashFailed, LinkTimeout, PlanError, UsageError
from hil.image.build import Image
from hil.link import Hello, Link
from hil.model import inputs as input_sets
from hil.model.reference import ReferenceResult
from tests.support.fakes import FakeDut, FakeStation, deployed, planned

DEPLOYMENT = deployed()
VALUES = input_sets.generate(DEPLOYMENT.graph, 2, 0)
PICO = board.load("rp2040")


def reference(*, wrong: int = 0) -> ReferenceResult:
    outputs = FakeDut(DEPLOYMENT).infer(VALUES[0]).outputs
    return ReferenceResult("numpy", ((np.asarray(outputs[0]).astype(np.int8) ^ np.int8(wrong),),), None)


# -- proof -------------------------------------------------------------------------------------------------------------


def test_a_right_program_is_proved_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api.prove(DEPLOYMENT.planned, VALUES[0], reference())
    monkeypatch.setattr(api, "Interpreter", None)  # a second proof would need it
    api.prove(DEPLOYMENT.planned, VALUES[0], reference())


def test_a_wrong_program_is_refused_before_a_board_is_touched(own_cache: Path) -> None:
    for _ in range(2):  # a failed proof is not kept
        with pytest.raises(PlanError) as caught:
            api.prove(DEPLOYMENT.planned, VALUES[0], reference(wrong=1))
        for part in ("tiny", "4 of 4 elements", "'y'", "nothing was flashed"):
            assert part in caught.value.message


def test_another_input_is_another_proof(own_cache: Path) -> None:
    api.prove(DEPLOYMENT.planned, VALUES[0], reference())
    with pytest.raises(PlanError):
        api.prove(DEPLOYMENT.planned, VALUES[1], reference())


# -- benches and boards ------------------------------------------------------------------------------------------------


def test_a_board_without_a_virtual_one_is_missing() -> None:
    odd = replace(PICO, name="odd", virtual=None)
    with pytest.raises(BoardMissing, match="no odd is reachable") as caught:
        api.bench_for(odd)
    assert caught.value.hint == "hil boards"
    assert api.places(odd) == ()


def test_the_virtual_bench_is_called_virtual() -> None:
    assert api.bench_for(PICO).source == "virtual"
    assert [place.bench for place in api.places(PICO)] == ["virtual"]
    assert PICO in api.known_boards()


def test_defaults_of_counts_are_the_benchs_and_overridable() -> None:
    for source, request, runs in (
        ("virtual", api.Request("rp2040"), 2),
        ("hardware", api.Request("rp2040"), 10),
        ("virtual", api.Request("rp2040", warmup=0, repeats=5), 5),
    ):
        device = FakeDut(DEPLOYMENT, FakeStation(source))  # type: ignore[arg-type]
        made = api.profile_on(device, VALUES[:1], reference(), request)
        assert len(made.measured.latency.samples) == runs
        assert made.source == source


# -- export ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def built(tmp_path: Path) -> Deployment:
    """A deployment whose files are there."""
    files: dict[str, Any] = {}
    for kind in ("elf", "bin", "uf2"):
        files[kind] = tmp_path / "cache" / f"firmware.{kind}"
        files[kind].parent.mkdir(exist_ok=True)
        files[kind].write_bytes(kind.encode())
    return Deployment(planned(), replace(DEPLOYMENT.image, **files))


def test_export_names_files_after_model_and_board(built: Deployment, tmp_path: Path) -> None:
    made = api.export(built, tmp_path / "deep" / "out")
    assert [path.name for path in made] == ["tiny-rp2040.elf", "tiny-rp2040.bin", "tiny-rp2040.uf2"]
    assert [path.read_bytes() for path in made] == [b"elf", b"bin", b"uf2"]


def test_export_writes_a_compile_database(built: Deployment, tmp_path: Path) -> None:
    made = api.export(built, tmp_path, compile_commands=True)
    entries = json.loads(made[-1].read_text())
    assert made[-1].name == "compile_commands.json"
    assert {"directory", "file", "arguments"} == set(entries[0])
    assert any(entry["file"].endswith("engine/executor.c") for entry in entries)


def test_export_without_a_uf2(built: Deployment, tmp_path: Path) -> None:
    plain = replace(built, image=replace(built.image, uf2=None))
    assert [path.suffix for path in api.export(plain, tmp_path)] == [".elf", ".bin"]


def test_a_folder_that_cannot_be_written_is_a_usage_error(built: Deployment, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write to .*file"):
        api.export(built, tmp_path / "file")


# -- the board that answers must be the one that was meant -------------------------------------------------------------

PROGRAM = DEPLOYMENT.plan.program
HELLO = Hello(
    mtu=1024, clock_hz=125_000_000, tick_mask=0xFF_FFFF, cores=2, load_status=0, load_step=0,
    program_bytes=len(PROGRAM.data), program_crc=PROGRAM.crc, arena_needed=PROGRAM.arena_bytes, arena_room=200_000,
    steps=2, input_count=1, output_count=1, program_cores=1, build_id=DEPLOYMENT.image.build_id, board="rp2040",
)  # fmt: skip


class _Link:
    """A link that answers HELLO, or fails to."""

    def __init__(self, answer: Hello | Exception) -> None:
        self.answer = answer

    def __enter__(self) -> _Link:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def hello(self) -> Hello:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class _Bench:
    source = "virtual"

    def __init__(self, said: str = "") -> None:
        self.station = FakeStation()
        self.station.diagnostics = lambda: said  # type: ignore[method-assign]

    @contextmanager
    def start(self, _board: str, _image: Image, *, say: Say) -> Iterator[FakeStation]:
        try:
            yield self.station
        finally:
            self.station.alive_now = False


def start(monkeypatch: pytest.MonkeyPatch, answer: Hello | Exception, said: str = "") -> Any:
    monkeypatch.setattr(Link, "open", lambda *_, **__: _Link(answer))
    bench = _Bench(said)
    try:
        with dut.started(DEPLOYMENT, bench) as running:  # type: ignore[arg-type]
            assert bench.station.alive()
            return running
    finally:
        assert not bench.station.alive(), "freed, however it ends"


def test_the_right_board_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch, HELLO).hello == HELLO


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        ({"board": "pico2"}, FlashFailed, "a 'pico2' answers where 'rp2040' was expected"),
        ({"build_id": "f" * 32}, FlashFailed, "firmware f{32} runs, (0123456789abcdef){2} was flashed"),
        ({"program_crc": 1}, FlashFailed, "another program is on the board"),
        ({"program_bytes": 4}, FlashFailed, "another program is on the board"),
        ({"load_status": 5, "load_step": 3}, DeviceRefused, "refuses the program at 3: the program's CRC is wrong"),
        ({"load_status": 77}, DeviceRefused, "status 77"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else "",
)
def test_a_wrong_board_is_refused(
    change: dict[str, Any], error: type[Exception], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(error, match=why) as caught:
        start(monkeypatch, replace(HELLO, **change))
    assert "fake rp2040 at nowhere" in str(caught.value)


def test_a_board_that_does_not_answer_is_heard_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LinkTimeout) as caught:
        start(monkeypatch, LinkTimeout("no answer to HELLO in 5 s"), "illegal instruction at 0x10000200")
    assert caught.value.message == "no answer to HELLO in 5 s; the board said: illegal instruction at 0x10000200"
    assert str(caught.value) == caught.value.message


def test_a_link_error_keeps_its_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LinkTimeout) as caught:
        start(monkeypatch, LinkTimeout("no answer", hint="replug it"), "panic")
    assert str(caught.value) == "no answer; the board said: panic\n  next: replug it"


# -- inputs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inputs",
    [(), (VALUES[0][0], VALUES[0][0]), (VALUES[0][0].reshape(8, 1),), (VALUES[0][0].astype(np.uint8),),
     (VALUES[0][0].astype(np.float32),)],
    ids=["none", "two", "shape", "uint8", "float32"],
)  # fmt: skip
def test_inputs_of_another_form_are_a_usage_error(inputs: Any) -> None:
    device = dut.Dut(DEPLOYMENT, FakeStation(), _Link(HELLO), HELLO)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^tiny"):
        device.infer(inputs)
