"""A look at a board through its probe: registers, memory, reset, halt; and what is told of a board that went silent."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hil.virtual
from hil import api, cli, flash
from hil import board as boards
from hil.bench import Where
from hil.bench.virtual import VirtualStation
from hil.deployment import Deployment
from hil.dut import Dut, connected
from hil.errors import DeviceError, FlashFailed, InfrastructureError, LinkTimeout, UsageError
from hil.flash.debug import CoreState, Debugger, where
from hil.image.elf import Elf
from hil.link import Link
from hil.model import inputs as input_sets
from hil.paths import ZOO
from hil.virtual.probe import Probe

TINY = ZOO / "op_tiny" / "op_tiny.tflite"
RAM = 0x2000_0000


def deployed(kind: str, **more: object) -> Deployment:
    return api.prepare(TINY, api.Request(board=kind, **more))  # type: ignore[arg-type]


def right(dut: Dut) -> bool:
    values = input_sets.generate(dut.deployment.graph, 1, 0)
    want = api.expected(dut.deployment.graph, values).outputs
    return bool(np.array_equal(dut.infer(values[0]).outputs[0], want[0][0]))


def probe(board: hil.virtual.VirtualBoard) -> str:
    return f"hil:{board.debug_port}"


def waits(board: hil.virtual.VirtualBoard) -> Probe:
    board.probe.wait_idle()
    return board.probe


@pytest.mark.parametrize(("kind", "cores"), [("rp2040", 1), ("rp2350", 2)])
def test_where_a_board_is_and_what_is_in_it(kind: str, cores: int) -> None:
    """pyOCD's rp2040 is core 0 alone, its rp2350 both cores."""
    deployment = deployed(kind)
    elf = Elf(deployment.image.elf)
    with hil.virtual.start(kind, deployment.image.elf) as board:
        waits(board)
        with flash.debugger(probe(board), deployment.board) as debugger:
            it: Debugger = debugger
            states = it.registers()
            assert (states[0].core, states[0].was, states[0].exception) == (0, "running", "")
            assert len(states) == cores
            assert states[0].faults == ({"cfsr": 0, "hfsr": 0} if kind == "rp2350" else {})
            assert elf.symbolize(states[0].pc).partition("+")[0] in ("main", "hil_port_getc")
            stack = boards.load(kind).stack
            assert stack.address < states[0].sp <= stack.end
            assert f"core 0, running: PC {states[0].pc:#010x} (" in where(states, elf.symbolize)
            assert it.read(RAM, 4096) == board.probe.read(RAM, 4096)
            assert it.read(deployment.board.flash.address + 1, 5) == board.probe.read(0x1000_0001, 5)
        with connected(deployment, VirtualStation(kind, board)) as dut:
            assert right(dut), "it went on, and its cycle counter too"


@pytest.mark.parametrize("kind", ["rp2040", "rp2350"])
def test_a_halted_board_stays_so_until_reset(kind: str) -> None:
    deployment = deployed(kind)
    with hil.virtual.start(kind, deployment.image.elf) as board:
        waits(board)
        with flash.debugger(probe(board), deployment.board) as debugger:
            debugger.halt()
        with flash.debugger(probe(board), deployment.board) as debugger:
            assert {state.was for state in debugger.registers()} == {"halted"}
        with Link.open(board.uart0_url, timeout=0.2, tries=2) as link, pytest.raises(LinkTimeout):
            link.hello()
        with flash.debugger(probe(board), deployment.board) as debugger:
            debugger.reset()
        with connected(deployment, VirtualStation(kind, board)) as dut:
            assert right(dut)


@pytest.mark.parametrize("kind", ["rp2040", "rp2350"])
def test_a_board_that_hangs_in_a_fault_is_told(kind: str, tmp_path: Path) -> None:
    """An image in RAM whose vector table begins where nothing is."""
    image = deployed(kind, load="ram").image
    assert image.bin is not None
    assert image.in_ram is not None
    data = bytearray(image.bin.read_bytes())
    at = image.in_ram.vectors - image.in_ram.address + 4
    data[at : at + 4] = (0x6000_0001).to_bytes(4, "little")
    broken = tmp_path / "broken.bin"
    broken.write_bytes(data)
    with hil.virtual.start(kind) as board:
        flash.flash(probe(board), replace(image, bin=broken), boards.load(kind))
        with flash.debugger(probe(board), boards.load(kind)) as debugger:
            state = debugger.registers()[0]
    assert state.exception == "HardFault"
    assert "in HardFault: PC 0x2000" in where([state], image.symbolize)
    if kind == "rp2350":
        assert state.faults["cfsr"] & 1 << 8, "IBUSERR: an instruction could not be fetched"


def test_lines_for_people() -> None:
    state = CoreState(1, "locked up", 0x1000_0100, 0xFFFF_FFF9, 0x2004_0FE0, 0x0100_0003, {"cfsr": 0x8200, "hfsr": 0})
    line = where([state], lambda address: f"at {address:x}")
    assert line == (
        "core 1, locked up in HardFault: PC 0x10000100 (at 10000100), LR 0xfffffff9 (at fffffff9), SP 0x20040fe0, "
        "CFSR 0x00008200"
    )


LAB = """
    schema = 1
    state = "{state}"
    [board.a]
    kind = "rp2040"
    {console}
    probe = "hil:{probe}"
    flash = {{ tool = "pyocd" }}
"""


@pytest.mark.parametrize("console", ["uart", "rtt"])
def test_a_board_of_a_lab_that_goes_silent_is_looked_at(
    console: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dut, "run_limit", lambda self: 1.0)
    file = tmp_path / "lab.toml"
    with hil.virtual.start("rp2040") as board:
        line = 'console = "rtt"' if console == "rtt" else f'port = "{board.uart0_url}"'
        file.write_text(LAB.format(state=tmp_path / "state", probe=board.debug_port, console=line))
        deployment = deployed("rp2040", where=Where(str(file)))
        with api.running(deployment, where=Where(str(file))) as dut:
            assert right(dut)
            if console == "rtt":
                hands = dut.station._hands  # type: ignore[attr-defined]
                hands._console._child.ask({"op": "halt"})
            else:
                with flash.debugger(probe(board), deployment.board) as debugger:
                    debugger.halt()
            with pytest.raises((DeviceError, InfrastructureError)) as caught:
                right(dut)
            assert "; the board said: core 0, halted: PC 0x1000" in caught.value.message
            assert "(hil_port_getc+" in caught.value.message or "(main+" in caught.value.message


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = deployed("rp2040")
    with hil.virtual.start("rp2040", deployment.image.elf) as board:
        waits(board)
        on = ["--board", "rp2040", "--on", probe(board)]
        assert cli.main(["debug", "registers", *on, "--elf", str(deployment.image.elf), "--json", "-"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["cores"][0]["at"].partition("+")[0] in ("main", "hil_port_getc")
        assert cli.main(["debug", "read", *on, "0x10000000", "20"]) == 0
        first = board.probe.read(0x1000_0000, 16)
        assert f"10000000  {first.hex(' ')}  " in capsys.readouterr().out
        assert cli.main(["debug", "halt", *on]) == 0
        assert f"hil debug reset --board rp2040 --on {probe(board)}" in " ".join(capsys.readouterr().out.split())
        assert cli.main(["debug", "reset", *on]) == 0
        with connected(deployment, VirtualStation("rp2040", board)) as dut:
            assert right(dut)
        capsys.readouterr()
        assert cli.main(["debug", "read", *on, "0", "2000000"]) == 2
        assert cli.main(["debug", "read", *on, "0x60000000", "4"]) == 4, "nobody answers there"
    assert cli.main(["debug", "registers", *on]) == 4
    assert "no debug port at" in " ".join(capsys.readouterr().err.split())


def test_a_process_with_pyocd_in_it_ends_with_its_owner(tmp_path: Path) -> None:
    """Also one that hears nothing any more."""
    child = (
        "import time; from hil.flash.debug_child import end_with_owner as end; end(0.1); print('x'); time.sleep(600)"
    )
    owner = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=-1); "
    owner += "p.stdout.readline(); print(p.pid, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", owner, child], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_cannot_be_debugged() -> None:
    with pytest.raises(UsageError, match="no debugger is known for a esp32c3"):
        flash.debugger("x", boards.load("esp32c3"))
    with pytest.raises(FlashFailed, match="rp2040 at probe 0123: pyOCD: no such probe is connected"):
        flash.debugger("0123", boards.load("rp2040"))
