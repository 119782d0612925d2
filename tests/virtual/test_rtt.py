"""Firmware whose console is in RAM: requests and answers go through pyOCD's RTT and the virtual board's debug port."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

import hil.virtual
from hil import api, cli
from hil import board as boards
from hil.bench import Where
from hil.bench.virtual import VirtualBench, VirtualStation
from hil.deployment import Deployment
from hil.dut import Dut, connected
from hil.errors import BoardMissing, FlashFailed, InfrastructureError, UsageError
from hil.flash.child import DebugFailed
from hil.flash.rtt import RttConsole
from hil.image.elf import Elf
from hil.image.stack import worst_stack
from hil.model import inputs as input_sets
from hil.paths import ZOO

KINDS = ("rp2040", "rp2350")


def deployed(kind: str, model: str = "dscnn", **more: object) -> Deployment:
    request = api.Request(board=kind, console="rtt", **more)  # type: ignore[arg-type]
    return api.prepare(ZOO / model / f"{model}.tflite", request)


def right(dut: Dut) -> bool:
    """Whether it computes what the reference does."""
    values = input_sets.generate(dut.deployment.graph, 2, 0)
    want = api.expected(dut.deployment.graph, values).outputs
    return all(
        np.array_equal(a, b)
        for given, outputs in zip(values, want, strict=True)
        for a, b in zip(dut.infer(given).outputs, outputs, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_keywords_are_spotted_bit_exactly_as_by_uart(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    records = {}
    for console in ("uart", "rtt"):
        model = ZOO / "dscnn" / "dscnn.tflite"
        command = ["profile", str(model), "--board", kind, "--console", console, "--inputs", "2", "--json", "-"]
        assert cli.main(command) == 0
        records[console] = json.loads(capsys.readouterr().out)
    assert records["rtt"]["outputs"]["mismatches"] == 0
    assert (records["rtt"]["console"], "console" in records["uart"]) == ("rtt", False)
    assert records["rtt"]["latency"]["cycles_median"] == records["uart"]["latency"]["cycles_median"]
    assert records["rtt"]["firmware"]["build"] != records["uart"]["firmware"]["build"]


@pytest.mark.parametrize("kind", KINDS)
def test_all_goes_through_the_debug_port_on_both_cores(kind: str) -> None:
    deployment = deployed(kind, "resnet8", load="ram", cores=2)
    with VirtualBench().start(kind, deployment.image) as station:
        assert station.url.startswith("socket://127.0.0.1:")
        with connected(deployment, station) as dut:
            assert right(dut)


def test_hil_flash_asks_through_the_probe(capsys: pytest.CaptureFixture[str]) -> None:
    model = ZOO / "op_tiny" / "op_tiny.tflite"
    assert cli.main(["flash", str(model), "--board", "rp2350", "--console", "rtt", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["tool"], record["answers"]) == ("pyocd", True)


def test_a_console_is_left_and_taken_again_and_has_one_user() -> None:
    deployment = deployed("rp2040", "op_tiny")
    with hil.virtual.start("rp2040", deployment.image.elf) as board:
        for _ in range(2):
            with RttConsole(f"hil:{board.debug_port}", deployment.image, deployment.board) as console:
                station = VirtualStation("rp2040", board, url=console.url)
                for _ in range(2):
                    with connected(deployment, station) as dut:
                        port = int(console.url.rpartition(":")[2])
                        with socket.create_connection(("127.0.0.1", port), timeout=10) as second:
                            assert second.recv(1) == b"", "hung up on"
                        assert right(dut)
                assert console.alive


def test_a_board_that_is_unplugged_is_an_error() -> None:
    deployment = deployed("rp2040", "op_tiny")
    with (
        hil.virtual.start("rp2040", deployment.image.elf) as board,
        RttConsole(f"hil:{board.debug_port}", deployment.image, deployment.board) as console,
        connected(deployment, VirtualStation("rp2040", board, url=console.url)) as dut,
    ):
        board.stop()
        with pytest.raises(InfrastructureError):
            right(dut)


def test_firmware_with_another_console_is_told_apart() -> None:
    deployment = deployed("rp2040", "op_tiny")
    other = api.prepare(ZOO / "op_tiny" / "op_tiny.tflite", api.Request("rp2040", console="uart"))
    with hil.virtual.start("rp2040", other.image.elf) as board:
        with pytest.raises(DebugFailed, match=r"rp2040 at probe hil:.*no RTT control block at 0x2000"):
            RttConsole(f"hil:{board.debug_port}", deployment.image, deployment.board)
        with pytest.raises(UsageError, match="has its console elsewhere"):
            RttConsole(f"hil:{board.debug_port}", other.image, other.board)
        with pytest.raises(DebugFailed, match="rp2350 at probe"):
            RttConsole(f"hil:{board.debug_port}", deployment.image, boards.load("rp2350"))
        with connected(other, VirtualStation("rp2040", board)) as dut:
            assert right(dut), "it did not mind"


@pytest.mark.parametrize("toolchain", ["zig", "gcc"])
@pytest.mark.parametrize("kind", KINDS)
def test_waiting_for_a_byte_stores_nothing(kind: str, toolchain: str) -> None:
    """Else a virtual board would not see that it is idle, and its time would run as fast as the host's processor."""
    if toolchain == "gcc" and shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    elf = Elf(deployed(kind, "op_tiny", toolchain=toolchain).image.elf)
    assert worst_stack(elf, "hil_port_getc", frozenset()).bytes == 0
    assert worst_stack(elf, "main", frozenset()).bytes > 0


def test_the_control_block_is_as_debuggers_know_it() -> None:
    deployment = deployed("rp2040", "op_tiny")
    assert deployment.image.rtt == Elf(deployment.image.elf).value("_SEGGER_RTT")
    assert deployment.image.bin is not None
    assert b"SEGGER RTT" not in deployment.image.bin.read_bytes(), "a debugger that searches would find that one"
    with VirtualBench().start("rp2040", deployment.image) as station, connected(deployment, station):
        pass
    with hil.virtual.start("rp2040", deployment.image.elf) as board:
        board.probe.wait_idle()
        block = board.probe.read(deployment.image.rtt or 0, 72)
        words = np.frombuffer(block, "<u4")
        assert block[:16] == b"SEGGER RTT".ljust(16, b"\0")
        assert list(words[4:6]) == [1, 1]
        for buffer in (words[6:12], words[12:18]):
            name, place, size, write, read, flags = map(int, buffer)
            assert (size, read, flags) == (1024, 0, 2)
            assert write < 64, "it has said at most that it has started"
            assert 0x2000_0000 <= place <= 0x2004_0000 - size
            assert board.probe.read(name, 4) == b"hil\0"


LAB = """
    schema = 1
    state = "{state}"
    [board.a]
    kind = "rp2040"
    console = "rtt"
    probe = "hil:{probe}"
    flash = {{ tool = "pyocd" }}
"""


def test_a_board_of_a_lab_needs_no_serial_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, model = tmp_path / "lab.toml", ZOO / "op_tiny" / "op_tiny.tflite"
    with hil.virtual.start("rp2040") as board:
        file.write_text(LAB.format(state=tmp_path / "state", probe=board.debug_port))
        deployment = api.prepare(model, api.Request("rp2040", where=Where(str(file))))
        assert deployment.image.rtt is not None, "the lab file says so"
        for _ in range(2):
            with api.running(deployment, where=Where(str(file))) as dut:
                assert right(dut)
                assert dut.station.recovery == ()  # type: ignore[attr-defined]
                assert dut.usable
        assert cli.main(["lab", "check", "--bench", str(file)]) == 0
        by_uart = api.prepare(model, api.Request("rp2040", console="uart", where=Where(str(file))))
        with pytest.raises(BoardMissing, match="has no hardware rp2040 with its console by uart"):
            api.running(by_uart, where=Where(str(file))).__enter__()
        with api.running(deployment, where=Where(str(file))) as dut:
            board.stop()
            with pytest.raises(InfrastructureError):
                right(dut)
            assert not dut.usable
    capsys.readouterr()
    assert cli.main(["lab", "check", "--bench", str(file)]) == 4
    assert "no debug port at" in " ".join(capsys.readouterr().out.split())


def test_where_there_is_no_such_console(tmp_path: Path) -> None:
    model = ZOO / "digits" / "digits.tflite"
    with pytest.raises(UsageError, match="--console rtt: native has uart"):
        api.prepare(model, api.Request("native", console="rtt"))
    with pytest.raises(UsageError, match="nodes of a cluster have UARTs"):
        api.prepare_cluster(model, api.Request("rp2040", nodes=2, console="rtt"))
    with pytest.raises(FlashFailed, match="no such probe is connected"):
        RttConsole("0123456789", deployed("rp2040", "op_tiny").image, boards.load("rp2040"))
