"""`--tool picotool`, with a STAND-IN for picotool (`tests/support/picotool_standin.py`): no picotool runs here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hil.virtual
from hil import api, flash
from hil.bench.virtual import VirtualStation
from hil.deployment import Deployment
from hil.dut import connected
from hil.errors import FlashFailed, ToolMissing, UsageError
from hil.flash.picotool import Picotool
from hil.model import inputs as input_sets
from hil.paths import ZOO
from tests.support import picotool_standin

KINDS = ("rp2040", "rp2350")
SERIAL = "E6614C311B7D8A2F"


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hil.flash.log.cache_root", lambda: tmp_path)


def deployed(kind: str, model: str = "op_tiny") -> Deployment:
    return api.prepare(ZOO / model / f"{model}.tflite", api.Request(board=kind))


def computes(deployment: Deployment, board: hil.virtual.VirtualBoard) -> None:
    values = input_sets.generate(deployment.graph, 2, 0)
    wanted = api.expected(deployment.graph, values).outputs
    with connected(deployment, VirtualStation(deployment.board.name, board)) as dut:
        for given, outputs in zip(values, wanted, strict=True):
            for got, want in zip(dut.infer(given).outputs, outputs, strict=True):
                assert np.array_equal(got, want)


@contextmanager
def on_usb(
    kind: str, folder: Path, patch: pytest.MonkeyPatch, *, runs: Deployment | None = None, **more: Any
) -> Iterator[hil.virtual.VirtualBoard]:
    """A virtual board that the stand-in knows by `SERIAL`; `runs` is in its flash."""
    drive = folder / "drive"
    with hil.virtual.start(kind, runs.image.elf if runs else None, usb=drive) as board:
        probe = board.probe.address
        known = {SERIAL: {"port": board.usb_port, "drive": str(drive), "probe": probe, **more}}
        for name, value in picotool_standin.install(folder / "bin", known).items():
            patch.setenv(name, value)
        yield board


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_board_and_one_that_waits_are_flashed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = deployed(kind), deployed(kind, "digits")
    said: list[str] = []
    with on_usb(kind, tmp_path, monkeypatch) as board:
        for deployment in (first, second):  # the first onto a board in BOOTSEL mode
            done = flash.flash(SERIAL, deployment.image, deployment.board, "picotool", said.append)
            assert (done.tool, done.verified) == ("picotool", True)
            computes(deployment, board)
        log = done.log.read_text()
        assert "reboot -f -u --ser" in log
        assert f"load -u -v -x {second.image.uf2} -t uf2 --ser {SERIAL}" in log
    assert said[0] == f"picotool: {kind} {SERIAL}"


def test_a_board_that_is_lost_for_a_moment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = deployed("rp2040")
    said: list[str] = []
    with on_usb("rp2040", tmp_path, monkeypatch, lost=str(tmp_path / "lost")) as board:
        flash.flash(SERIAL, deployment.image, deployment.board, "picotool", said.append)
        assert f"picotool: rp2040 {SERIAL}, attempt 2" in said
        computes(deployment, board)


def test_the_chip_of_another_kind_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = deployed("rp2040"), deployed("rp2350")
    with on_usb("rp2040", tmp_path, monkeypatch, runs=theirs) as board:
        with pytest.raises(FlashFailed, match="the chip is a RP2040, not a RP2350") as caught:
            flash.flash(SERIAL, ours.image, ours.board, "picotool")
        assert f"rp2350 with serial number {SERIAL}" in caught.value.message
        assert caught.value.hint == f"picotool info -d --ser {SERIAL}"
        board.probe.reset()
        computes(theirs, board)


def test_a_file_of_another_family_is_neither_sent_nor_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = deployed("rp2040"), deployed("rp2350")
    wrong = replace(ours.image, uf2=theirs.image.uf2)
    with on_usb("rp2040", tmp_path, monkeypatch):
        with pytest.raises(UsageError, match="is of UF2 family 0xe48bff59"):
            flash.flash(SERIAL, wrong, ours.board, "picotool")
        monkeypatch.setattr("hil.flash.picotool.checked", lambda image, board: image.uf2.read_bytes())
        with pytest.raises(FlashFailed, match="load ended with status 1: ERROR: the file is not for this device"):
            flash.flash(SERIAL, wrong, ours.board, "picotool")


def test_a_board_that_is_not_there_and_a_tool_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = deployed("rp2040")
    with on_usb("rp2040", tmp_path, monkeypatch):
        absent = Picotool("0123", limit=0.1)
        with pytest.raises(FlashFailed, match=r"did not enter BOOTSEL mode in 0\.1 s: No accessible") as caught:
            absent.flash(deployment.image, deployment.board, say=lambda text: None)
        assert (caught.value.hint or "").startswith("hold BOOTSEL")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="picotool is not on the PATH"):
        flash.flash(SERIAL, deployment.image, deployment.board, "picotool")


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        ("echo 'Device at bus 1 appears to be in BOOTSEL mode, but picotool was unable to connect'; exit 249",
         "did not enter BOOTSEL mode", "a udev rule: "),
        ("echo Device Information", "it does not say what the chip is: Device Information", "picotool version"),
        ("exec sleep 30", "info took longer than 0 s", "unplug it"),
    ],
)  # fmt: skip
def test_what_a_picotool_might_do(
    script: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "picotool"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if "sleep" in script:
        monkeypatch.setattr("hil.flash.picotool._SOON", 0.3)
    deployment = deployed("rp2040")
    with pytest.raises(FlashFailed, match=message) as caught:
        Picotool(SERIAL, limit=0.1).flash(deployment.image, deployment.board, say=lambda text: None)
    assert (caught.value.hint or "").startswith(hint)
    assert "log: " in caught.value.message
