"""Flashing that goes wrong as it does in labs: it ends in recovery, or in an error that says where and what to type."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import hil.virtual
from hil import api, cli, flash
from hil import board as boards
from hil.bench.virtual import VirtualStation
from hil.deployment import Deployment
from hil.dut import connected
from hil.errors import FlashFailed, HilError
from hil.flash import log as flash_log
from hil.flash import pyocd_child
from hil.flash.pyocd import PyOcd
from hil.flash.together import Order, flash_together
from hil.flash.warm import warm
from hil.model import inputs as input_sets
from hil.paths import ZOO
from tests.support.stalling import Stalling, alive_with

MODEL = ZOO / "resnet8" / "resnet8.tflite"
HALF = 60_000
LIMIT = 120.0


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return api.prepare(MODEL, api.Request(board="rp2040"))


@pytest.fixture
def board() -> Iterator[hil.virtual.VirtualBoard]:
    with hil.virtual.start("rp2040") as started:
        yield started


def probe(board: hil.virtual.VirtualBoard) -> str:
    return f"hil:{board.debug_port}"


def well(deployment: Deployment, board: hil.virtual.VirtualBoard) -> bool:
    """Whether it has the whole image, and computes what it should."""
    assert deployment.image.bin is not None
    image = deployment.image.bin.read_bytes()
    values = input_sets.generate(deployment.graph, 1, 0)
    want = api.expected(deployment.graph, values).outputs[0]
    with connected(deployment, VirtualStation("rp2040", board)) as dut:
        got = dut.infer(values[0]).outputs
    same = all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    return same and board.probe.read(deployment.board.flash.address, len(image)) == image


def half(deployment: Deployment, board: hil.virtual.VirtualBoard) -> bool:
    """Whether its flash has the beginning of the image and not its end."""
    assert deployment.image.bin is not None
    image = deployment.image.bin.read_bytes()
    found = board.probe.read(deployment.board.flash.address, len(image))
    return found[:4096] == image[:4096] and found[-4096:] != image[-4096:]


def nothing_left(mark: str) -> None:
    end = time.monotonic() + LIMIT
    while left := alive_with(mark):
        assert time.monotonic() < end, left
        time.sleep(0.02)


def hil_flash(mark: str, *probes: str) -> subprocess.Popen[str]:
    words = [word for one in probes for word in ("--on", one)]
    return subprocess.Popen(
        [sys.executable, "-m", "hil", "flash", str(MODEL), "--board", "rp2040", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"HIL_MARK": mark},
    )  # fmt: skip


# ---- interrupted half-way --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["Ctrl-C", "SIGTERM", "SIGKILL"],
)
def test_a_flasher_that_is_ended_half_way_leaves_no_process_and_a_board_that_the_next_one_mends(
    how: signal.Signals, status: int, board: hil.virtual.VirtualBoard, deployment: Deployment
) -> None:
    mark = uuid.uuid4().hex
    with Stalling(board.debug_port, HALF) as line, hil_flash(mark, line.probe) as flasher:
        assert line.stalled.wait(LIMIT)
        assert len(alive_with(mark)) == 3, "the command, the server that has pyOCD, its child"
        flasher.send_signal(how)
        out, err = flasher.communicate(timeout=LIMIT)
        assert flasher.returncode == status
        assert (out, err) == ("", "hil: interrupted; boards are freed\n" if how == signal.SIGINT else "")
        nothing_left(mark)
    assert half(deployment, board)
    board.probe.reset()  # what half an image does when it starts must not be in the way
    done = flash.flash(probe(board), deployment.image, deployment.board)
    assert 0 < done.bytes_written < done.bytes, "what is there already is kept"
    assert well(deployment, board)


def test_ctrl_c_ends_all_that_are_flashed_side_by_side(deployment: Deployment) -> None:
    mark = uuid.uuid4().hex
    with ExitStack() as stack:
        started = [stack.enter_context(hil.virtual.start("rp2040")) for _ in range(2)]
        with Stalling(started[0].debug_port, HALF) as one, Stalling(started[1].debug_port, HALF) as other:
            flasher = stack.enter_context(hil_flash(mark, one.probe, other.probe))
            for line in (one, other):
                assert line.stalled.wait(LIMIT)
            flasher.send_signal(signal.SIGINT)
            flasher.communicate(timeout=LIMIT)
            assert flasher.returncode == 130
            nothing_left(mark)
        found = flash_together([Order(probe(each), deployment.image, deployment.board) for each in started])
        assert [each for each in found if isinstance(each, HilError)] == []
        assert all(well(deployment, each) for each in started)


def test_a_tool_that_is_killed_is_an_error_and_the_next_flash_is_well(
    board: hil.virtual.VirtualBoard, deployment: Deployment
) -> None:
    server = warm("hil.flash.pyocd_child")

    def kill(text: str) -> None:
        if "%" in text and server.pid is not None:
            os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(FlashFailed) as caught:
        flash.flash(probe(board), deployment.image, deployment.board, say=kill)
    assert f"rp2040 at probe {probe(board)}: pyOCD: it ended without a result" in caught.value.message
    assert "log: " in caught.value.message
    flash.flash(probe(board), deployment.image, deployment.board)
    assert well(deployment, board)


# ---- the wrong board, a busy one, one that is late -------------------------------------------------------------------


def test_the_chips_identity_is_looked_at_before_and_after(
    board: hil.virtual.VirtualBoard, deployment: Deployment
) -> None:
    """With a word of flash in place of a chip id: it is what it should be before, and another afterwards."""
    identity = deployment.board.identity
    assert identity is not None
    request = {
        "probe": probe(board),
        "target": "rp2040",
        "file": str(deployment.image.bin),
        "address": deployment.board.flash.address,
        "buffers": None,
        "identity": vars(identity) | {"value": identity.value ^ 1},
    }
    with pytest.raises(Exception, match=r"before flashing, the chip says 0x.*: another kind of board"):
        pyocd_child.attempt(request)
    assert set(board.probe.read(deployment.board.flash.address, 4096)) == {0xFF}, "nothing was written"
    erased = {"address": deployment.board.flash.address, "mask": 0xFFFF_FFFF, "value": 0xFFFF_FFFF}
    with pytest.raises(Exception, match=r"after flashing, the chip says 0x.*: another kind of board"):
        pyocd_child.attempt(request | {"identity": erased})


def test_a_probe_that_another_program_has_is_told_from_one_that_is_not_there(
    board: hil.virtual.VirtualBoard, deployment: Deployment
) -> None:
    assert board.debug_port is not None
    host, _, port = board.debug_port.rpartition(":")
    with socket.create_connection((host, int(port))), pytest.raises(FlashFailed) as caught:
        flash.flash(probe(board), deployment.image, deployment.board)
    assert f"rp2040 at probe {probe(board)}: pyOCD: the probe" in caught.value.message
    assert "is in use by another program (attempt 3; log: " in caught.value.message
    assert caught.value.hint == f"ss -tnp dport = :{port}"
    with pytest.raises(FlashFailed) as absent:
        flash.flash("0123456789ABCDEF", deployment.image, deployment.board)
    assert "no such probe is connected" in absent.value.message
    assert absent.value.hint == "pyocd list"


def test_a_time_limit_names_board_probe_and_what_to_do_and_leaves_no_child(
    board: hil.virtual.VirtualBoard, deployment: Deployment
) -> None:
    with Stalling(board.debug_port, HALF) as line:
        with pytest.raises(FlashFailed) as caught:
            PyOcd(line.probe, limit=3.0).flash(deployment.image, deployment.board, say=lambda text: None)
        assert f"rp2040 at probe {line.probe}: pyOCD: no result in 3 s" in caught.value.message
        assert caught.value.hint
    flash.flash(probe(board), deployment.image, deployment.board)
    assert well(deployment, board)


def test_of_several_boards_the_bad_one_is_told_and_the_others_are_flashed(
    board: hil.virtual.VirtualBoard, deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["flash", str(MODEL), "--board", "rp2040", "--on", probe(board), "--on", "hil:127.0.0.1:1"]
    assert cli.main([*words, "--json", "-"]) == 4
    found = json.loads(capsys.readouterr().out)
    good, bad = found["boards"]
    assert (good["where"], good["verified"]) == (probe(board), True)
    assert "no debug port at 127.0.0.1:1" in bad["error"]
    assert well(deployment, board)
    assert cli.main(words) == 4
    assert "1 of 2 boards flashed and verified" in capsys.readouterr().out
    assert cli.main([*words, "--on", probe(board)]) == 2
    assert "--on names a board twice" in capsys.readouterr().err


# ---- the log ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_costs_the_log_and_not_the_flash(
    board: hil.virtual.VirtualBoard, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.flash.pyocd.log_file", lambda *names: Path("/dev/full"))
    assert flash.flash(probe(board), deployment.image, deployment.board).verified
    assert well(deployment, board)


def test_a_log_that_cannot_be_made_is_an_error_that_names_board_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deployment: Deployment
) -> None:
    monkeypatch.setattr(flash_log, "cache_root", lambda: tmp_path / "file")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FlashFailed) as caught:
        flash.flash("hil:127.0.0.1:1", deployment.image, boards.load("rp2040"))
    assert caught.value.message.startswith("rp2040 at hil:127.0.0.1:1: cannot keep pyocd's log at ")
    assert caught.value.hint == f"df -h {tmp_path / 'file'}; ls -ld {tmp_path / 'file' / 'flash'}"
