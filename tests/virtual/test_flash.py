"""Flashing as people do: unmodified pyOCD through a virtual board's debug port, and UF2 files on its drive."""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hil.virtual
from hil import api, flash
from hil import board as boards
from hil.bench import Where
from hil.bench.virtual import VirtualBench, VirtualStation, drop_boards, keeping_boards
from hil.deployment import Deployment
from hil.dut import connected, started
from hil.errors import FlashFailed, LinkLost, ToolMissing, UsageError
from hil.flash import loader, pyocd_child
from hil.flash.pyocd import PyOcd
from hil.flash.uf2 import Uf2
from hil.image import uf2
from hil.image.build import Image
from hil.model import inputs as input_sets
from hil.paths import ZOO
from hil.record import Profile, cluster_record, profile_record
from tests.support import cmsis_dap

KINDS = ("rp2040", "rp2350", "nrf52840dk", "nucleo-l4r5zi")
PICOS = ("rp2040", "rp2350")
BYTES = 300 * 1024


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs of tests do not belong into the cache; the cache does not belong into a test's folder."""
    monkeypatch.setattr("hil.flash.log.cache_root", lambda: tmp_path)


def deployed(kind: str, model: str = "resnet8") -> Deployment:
    return api.prepare(ZOO / model / f"{model}.tflite", api.Request(board=kind))


@pytest.fixture(params=KINDS)
def erased(request: pytest.FixtureRequest) -> Iterator[tuple[str, hil.virtual.VirtualBoard]]:
    with hil.virtual.start(request.param) as board:
        yield request.param, board


def probe(board: hil.virtual.VirtualBoard) -> str:
    return f"hil:{board.debug_port}"


def computes(deployment: Deployment, board: hil.virtual.VirtualBoard) -> None:
    """Its firmware answers, and gives the reference's bits."""
    values = input_sets.generate(deployment.graph, 2, 0)
    wanted = api.expected(deployment.graph, values).outputs
    with connected(deployment, VirtualStation(deployment.board.name, board)) as dut:
        for given, outputs in zip(values, wanted, strict=True):
            for got, want in zip(dut.infer(given).outputs, outputs, strict=True):
                assert np.array_equal(got, want)


def random_image(kind: str, folder: Path, size: int = BYTES) -> Image:
    image = deployed(kind, "op_tiny").image
    path = folder / f"{kind}.bin"
    path.write_bytes(np.random.Generator(np.random.PCG64(7)).bytes(size))
    return replace(image, bin=path, flash=size)


def half_way(said: str) -> bool:
    return said.endswith("%") and 40 <= int(said.rsplit(maxsplit=1)[-1][:-1]) <= 80


def test_pyocd_flashes_a_model_that_computes_bit_exactly(erased: tuple[str, hil.virtual.VirtualBoard]) -> None:
    kind, board = erased
    deployment = deployed(kind)
    said: list[str] = []
    done = flash.flash(probe(board), deployment.image, deployment.board, say=said.append)
    assert (done.tool, done.verified) == ("pyocd", True)
    assert deployment.image.bin is not None
    image = deployment.image.bin.read_bytes()
    assert done.bytes == len(image) <= done.bytes_written
    assert board.probe.read(deployment.board.flash.address, len(image)) == image
    assert "programmed" in done.log.read_text() or "fpb" in done.log.read_text()
    assert any("%" in text for text in said), "progress"
    computes(deployment, board)


def test_an_unchanged_image_is_not_written_again_and_one_changed_sector_alone_is(
    erased: tuple[str, hil.virtual.VirtualBoard], tmp_path: Path
) -> None:
    kind, board = erased
    image = random_image(kind, tmp_path, 64 * 1024)
    kindly = boards.load(kind)
    first = flash.flash(probe(board), image, kindly)
    again = flash.flash(probe(board), image, kindly)
    assert (first.bytes_written, again.bytes_written) == (64 * 1024, 0)
    path = tmp_path / f"{kind}.bin"
    data = bytearray(path.read_bytes())
    data[5000] ^= 0xFF
    path.write_bytes(data)
    changed = flash.flash(probe(board), image, kindly)
    assert changed.bytes_written == 4096
    assert board.probe.read(kindly.flash.address, len(data)) == data


def test_a_running_board_is_flashed_anew(erased: tuple[str, hil.virtual.VirtualBoard]) -> None:
    kind, board = erased
    for model in ("op_tiny", "resnet8"):
        deployment = deployed(kind, model)
        flash.flash(probe(board), deployment.image, deployment.board)
        computes(deployment, board)


@pytest.mark.parametrize(
    ("kind", "other"),
    [("rp2040", "rp2350"), ("rp2350", "nrf52840dk"), ("nrf52840dk", "nucleo-l4r5zi"), ("nucleo-l4r5zi", "rp2040")],
)
def test_another_kind_of_board_is_not_flashed(kind: str, other: str) -> None:
    deployment = deployed(kind, "op_tiny")
    with hil.virtual.start(other) as board, pytest.raises(FlashFailed) as caught:
        flash.flash(probe(board), deployment.image, deployment.board)
    assert f"{kind} at probe {probe(board)}" in caught.value.message
    assert caught.value.hint


def test_the_wrong_tool_and_the_wrong_image_are_usage_errors() -> None:
    deployment = deployed("rp2040", "op_tiny")
    with pytest.raises(UsageError, match="'esptool' does not flash a rp2040; pyocd or uf2 or picotool does"):
        flash.flash("x", deployment.image, deployment.board, "esptool")
    with pytest.raises(UsageError, match="the image is for a rp2040, not for a rp2350"):
        flash.flash("x", deployment.image, boards.load("rp2350"))


def test_a_probe_that_is_busy_and_one_that_is_not_there_are_named() -> None:
    deployment = deployed("rp2040", "op_tiny")
    with hil.virtual.start("rp2040") as board:
        assert board.debug_port is not None
        host, _, port = board.debug_port.rpartition(":")
        with socket.create_connection((host, int(port))), pytest.raises(FlashFailed) as caught:
            flash.flash(probe(board), deployment.image, deployment.board)
        assert "attempt 3" in caught.value.message  # it might have been free by then
        flash.flash(probe(board), deployment.image, deployment.board)
        computes(deployment, board)
    with pytest.raises(FlashFailed, match=r"no debug port at .*attempt 3"):
        flash.flash(probe(board), deployment.image, deployment.board)
    with pytest.raises(FlashFailed, match="no such probe is connected"):
        flash.flash("0123456789ABCDEF", deployment.image, deployment.board)


def test_a_board_that_vanishes_half_way_is_an_error_and_one_that_hangs_is_too(tmp_path: Path) -> None:
    image = random_image("rp2040", tmp_path)
    with hil.virtual.start("rp2040") as board:

        def unplug(text: str) -> None:
            if half_way(text):
                board.stop()

        with pytest.raises(FlashFailed, match="attempt 3"):
            flash.flash(probe(board), image, boards.load("rp2040"), say=unplug)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        target = f"hil:127.0.0.1:{deaf.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(FlashFailed, match="no result in 2 s"):
            PyOcd(target, limit=2.0).flash(image, boards.load("rp2040"), say=lambda text: None)
        assert time.monotonic() - began < 20


def test_a_flash_that_was_interrupted_is_mended_by_the_next(tmp_path: Path) -> None:
    image = random_image("rp2040", tmp_path, 64 * 1024)
    deployment = deployed("rp2040")

    class Interrupted(Exception):
        pass

    def interrupt(text: str) -> None:
        if half_way(text):
            raise Interrupted

    with hil.virtual.start("rp2040") as board:
        with pytest.raises(Interrupted):
            flash.flash(probe(board), image, deployment.board, say=interrupt)
        flash.flash(probe(board), deployment.image, deployment.board)
        computes(deployment, board)


def test_eight_boards_are_flashed_side_by_side(tmp_path: Path) -> None:
    image = random_image("rp2040", tmp_path, 32 * 1024)
    started = [hil.virtual.start("rp2040") for _ in range(8)]
    try:
        with ThreadPoolExecutor(8) as pool:
            kind = boards.load("rp2040")
            done = list(pool.map(lambda board: flash.flash(probe(board), image, kind), started))
        assert [flashed.bytes_written for flashed in done] == [32 * 1024] * 8
        assert len({flashed.log for flashed in done}) == 8
        data = (tmp_path / "rp2040.bin").read_bytes()
        assert all(board.probe.read(kind.flash.address, len(data)) == data for board in started)
    finally:
        for board in started:
            board.stop()


# ---- the virtual bench -----------------------------------------------------------------------------------------------


_ALONE = [pytest.param(kind, {}, id=f"1core-{kind}") for kind in KINDS if kind not in PICOS]
_SEVERAL = [pytest.param(kind, {what: 2}, id=f"2{what}-{kind}") for kind in PICOS for what in ("cores", "nodes")]


@pytest.mark.parametrize(("kind", "more"), [*_ALONE, *_SEVERAL])
def test_how_an_image_came_onto_the_board_changes_no_number(kind: str, more: dict[str, Any]) -> None:
    """Cycles, RAM peak, every sample of every node: a flashed board is as one that had its image all along."""

    def record(*, direct: bool) -> dict[str, Any]:
        where = Where("virtual", direct=direct)
        request = api.Request(board=kind, inputs=2, where=where, **more)
        found = api.profile(ZOO / "digits" / "digits.tflite", request)
        return profile_record(found) if isinstance(found, Profile) else cluster_record(found)

    flashed, put = record(direct=False), record(direct=True)
    assert (flashed.pop("flashed"), put.pop("flashed")) == ("pyocd", "direct")
    assert flashed == put


def test_a_kept_board_is_flashed_anew_and_counts_as_a_new_one() -> None:
    first, second = deployed("rp2040"), deployed("rp2040", "digits")
    values = input_sets.generate(second.graph, 1, 0)[0]

    def ran(deployment: Deployment, *, direct: bool = False) -> tuple[int, int]:
        with started(deployment, VirtualBench(direct=direct)) as dut:
            assert isinstance(dut.station, VirtualStation)
            return dut.station.pid, dut.infer(values).cycles if deployment is second else 0

    _, alone = ran(second, direct=True)
    with keeping_boards():
        kept = [ran(first), ran(second), ran(first), ran(second)]
        assert len({pid for pid, _ in kept}) == 1
        assert kept[1][1] == kept[3][1] == alone
        with pytest.raises(LinkLost), started(first, VirtualBench()) as dut:
            raise LinkLost("as a test sees it")
        assert isinstance(dut.station, VirtualStation)
        assert not dut.station.alive(), "what failed is not used again"
        pid, _ = ran(first)
        assert pid != kept[0][0]
        drop_boards()
        other, _ = ran(first)
        assert other != pid
    for ended in (pid, other):
        with pytest.raises(ProcessLookupError):
            os.kill(ended, 0)


def test_boards_without_a_debugger_get_their_image_as_before() -> None:
    bench = VirtualBench()
    assert [bench.way(kind) for kind in (*KINDS, "esp32c3", "native", "mps2-an521")] == ["pyocd"] * 4 + ["direct"] * 3
    assert VirtualBench(direct=True).way("rp2040") == "direct"


def test_without_pyocd_nothing_is_put_there_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = deployed("rp2040", "op_tiny")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyocd" else find(name))
    with pytest.raises(ToolMissing) as caught, VirtualBench().start("rp2040", deployment.image):
        raise AssertionError("it runs")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("pip install 'pyocd")
    with VirtualBench(direct=True).start("rp2040", deployment.image) as station:
        assert station.alive()


# ---- UF2 -------------------------------------------------------------------------------------------------------------


def appears(drive: Path) -> None:
    deadline = time.monotonic() + 20
    while not (drive / "INFO_UF2.TXT").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("kind", PICOS)
def test_a_uf2_file_goes_onto_the_drive_and_onto_the_one_behind_the_port(kind: str, tmp_path: Path) -> None:
    drive, first, second = tmp_path / "media" / "PICO", deployed(kind, "op_tiny"), deployed(kind)
    with hil.virtual.start(kind, usb=drive) as board:
        appears(drive)
        done = flash.flash(str(drive), first.image, first.board, "uf2")
        assert (done.tool, done.verified) == ("uf2", False)
        computes(first, board)
        assert not drive.exists(), "it went before the board started"
        assert board.usb_port is not None
        Uf2(board.usb_port, drives=(tmp_path / "media").iterdir).flash(
            second.image, second.board, say=lambda text: None
        )
        computes(second, board)
    assert not drive.exists()


def test_the_drive_of_another_board_is_refused(tmp_path: Path) -> None:
    deployment = deployed("rp2350", "op_tiny")
    with hil.virtual.start("rp2040", usb=tmp_path / "PICO") as board:
        appears(tmp_path / "PICO")
        with pytest.raises(FlashFailed, match="the drive is of RPI-RP2, not of RP2350"):
            flash.flash(str(tmp_path / "PICO"), deployment.image, deployment.board, "uf2")
        assert board.alive
    with pytest.raises(FlashFailed, match="no board in BOOTSEL mode"):
        flash.flash(str(tmp_path), deployment.image, deployment.board, "uf2")


def test_a_file_of_another_family_is_neither_sent_nor_taken(tmp_path: Path) -> None:
    ours, theirs = deployed("rp2040", "op_tiny"), deployed("rp2350", "op_tiny")
    drive = tmp_path / "PICO"
    with hil.virtual.start("rp2040", usb=drive) as board:
        appears(drive)
        with pytest.raises(UsageError, match="is of UF2 family 0xe48bff59"):
            flash.flash(str(drive), replace(ours.image, uf2=theirs.image.uf2), ours.board, "uf2")
        assert theirs.image.uf2 is not None
        (drive / "theirs.uf2").write_bytes(theirs.image.uf2.read_bytes())
        (drive / "half.uf2").write_bytes(uf2.encode(b"x" * 1024, 0x1000_0000, 0xE48B_FF56)[:1024])
        flash.flash(str(drive), ours.image, ours.board, "uf2")
        computes(ours, board)


def test_a_drive_that_does_not_take_the_file_or_does_not_come_is_an_error(tmp_path: Path) -> None:
    deployment = deployed("rp2040", "op_tiny")
    (tmp_path / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\r\nBoard-ID: RPI-RP2\r\n")
    with pytest.raises(FlashFailed, match="it did not take the file"):
        Uf2(str(tmp_path), limit=0.2).flash(deployment.image, deployment.board, say=lambda text: None)
    with hil.virtual.start("rp2040", usb=tmp_path / "PICO") as board:
        assert board.usb_port is not None
        never = Uf2(board.usb_port, drives=list, limit=0.2)
        with pytest.raises(FlashFailed, match=r"no drive of RPI-RP2 appeared"):
            never.flash(deployment.image, deployment.board, say=lambda text: None)
    with pytest.raises(FlashFailed, match="neither a drive nor a serial port"):
        Uf2(str(tmp_path / "tty")).flash(deployment.image, deployment.board, say=lambda text: None)


# ---- pyOCD's own driver of CMSIS-DAP probes -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_pyocds_driver_of_cmsis_dap_flashes_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, as pyOCD's USB is replaced; everything above USB is what drives a probe on a desk."""
    from pyocd.probe.pydapaccess import dap_access_cmsis_dap as driver

    deployment, serial = deployed(kind, "op_tiny"), f"VIRTUAL-{kind}"
    with hil.virtual.start(kind) as board:
        assert board.debug_port is not None
        firmware = cmsis_dap.Firmware(board.debug_port, serial)
        monkeypatch.setitem(driver.INTERFACE, driver.USB_BACKEND_V2, cmsis_dap.interface(firmware))
        monkeypatch.setitem(driver.INTERFACE, driver.USB_BACKEND, cmsis_dap.interface(None))
        identity = deployment.board.identity
        assert identity is not None
        request = {
            "probe": serial,
            "target": deployment.board.flash_tools["pyocd"],
            "file": str(deployment.image.bin),
            "address": deployment.board.flash.address,
            "buffers": None,
            "identity": vars(identity),
            "loader": loader.described(deployment.board),
        }
        done = pyocd_child.attempt(request)
        assert done["written"] >= done["bytes"] > 0
        assert pyocd_child.attempt(request)["written"] == 0, "read back through the same driver, and unchanged"
        assert deployment.image.bin is not None
        image = deployment.image.bin.read_bytes()
        assert board.probe.read(deployment.board.flash.address, len(image)) == image
        firmware.close()
        assert firmware.packets > 100
        computes(deployment, board)
