"""From the command line to the verdict on the virtual board, and what happens when a board fails on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hil import api
from hil.bench import Where
from hil.errors import DeviceFault, LinkLost
from hil.image.elf import Elf
from hil.model import inputs as input_sets
from hil.paths import ZOO

DIGITS = ZOO / "digits" / "digits.tflite"
RESNET = ZOO / "resnet8" / "resnet8.tflite"
REQUEST = api.Request("rp2040", inputs=2)


def hil(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hil", *map(str, args)], capture_output=True, text=True, timeout=300, check=False
    )


def children(pid: int) -> list[int]:
    """Processes that `pid` started and that still run."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def boards_of(pid: int) -> list[int]:
    found = []
    for child in children(pid):
        command = Path(f"/proc/{child}/cmdline").read_bytes() if Path(f"/proc/{child}").exists() else b""
        if b"hil.virtual" in command:
            found.append(child)
    return found


def _used(pid: int) -> float:
    """CPU seconds of a process that runs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def long_profile() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`hil profile` in the middle of a long run, and the process of its virtual board."""
    api.prepare(RESNET, REQUEST)  # so that the process below goes straight to running
    command = [sys.executable, "-m", "hil", "profile", str(RESNET), "--board", "rp2040", "--repeats", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 120
            while not (boards := boards_of(process.pid)):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, "no virtual board was started"
                time.sleep(0.05)
            while _used(boards[0]) < 2.0:  # well into the runs: starting and flashing take a quarter of that
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process, boards[0]
        finally:
            process.kill()


def test_profile_twice_is_the_same_to_the_byte() -> None:
    first, second = (hil("profile", DIGITS, "--board", "rp2040", "--json", "-") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    record = json.loads(first.stdout)
    assert record["verdict"] == "pass"
    assert record["bench"] == "virtual"
    assert record["outputs"]["mismatches"] == 0
    assert record["latency"]["cycles_median"] > 0
    memory = record["memory"]
    assert 0.9 * memory["ram_predicted"] <= memory["ram_peak"] <= memory["ram_predicted"]


def test_a_limit_that_is_missed_is_a_bad_verdict() -> None:
    done = hil("profile", DIGITS, "--board", "rp2040", "--max-latency-us", "1", "--max-ram", "100")
    assert done.returncode == 1
    assert "over the limit of 1 us" in done.stdout
    assert "over the limit of 100" in done.stdout


def test_board_killed_in_mid_run_is_status_4_and_the_next_run_works() -> None:
    with long_profile() as (process, board):
        os.kill(board, signal.SIGKILL)
        killed = time.monotonic()
        _, said = process.communicate(timeout=10)
        assert process.returncode == 4, said
        assert time.monotonic() - killed < 10
        assert "rp2040" in said
        assert "socket://127.0.0.1:" in said
    assert hil("profile", DIGITS, "--board", "rp2040").returncode == 0


def test_interrupt_frees_the_board() -> None:
    with long_profile() as (process, board):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert not Path(f"/proc/{board}").exists()


def test_board_does_not_outlive_a_killed_owner() -> None:
    with long_profile() as (process, board):
        process.kill()
        process.wait(timeout=10)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{board}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{board}").exists()


def test_link_lost_names_board_and_port() -> None:
    deployment = api.prepare(RESNET, REQUEST)
    values = input_sets.generate(deployment.graph, 1, 0)
    with api.running(deployment) as dut:
        threading.Timer(0.3, os.kill, (dut.station.pid, signal.SIGKILL)).start()  # type: ignore[attr-defined]

        def keep_running() -> None:
            for _ in range(1000):
                dut.infer(values[0])

        with pytest.raises(LinkLost, match=r"rp2040.*socket://127\.0\.0\.1:\d+"):
            keep_running()
        assert not dut.station.alive()


def test_fault_is_reported_with_registers_and_the_function(tmp_path: Path) -> None:
    """An undefined instruction where the convolution begins: the fault handler's report arrives, with names."""
    deployment = api.prepare(DIGITS, REQUEST)
    elf = Elf(deployment.image.elf)
    code = elf.value("hil_run_conv") & ~1
    section = next(s for s in elf.sections if s.address <= code < s.address + s.size and s.name == ".text")
    data = bytearray(deployment.image.elf.read_bytes())
    at = section.offset + code - section.address
    data[at : at + 2] = b"\x00\xde"  # UDF #0
    broken = Path(shutil.copyfile(deployment.image.elf, tmp_path / "broken.elf"))
    broken.write_bytes(data)
    image, put_there = replace(deployment.image, elf=broken), Where("virtual", direct=True)  # a flasher takes the .bin
    with api.running(replace(deployment, image=image), where=put_there) as dut:
        values = input_sets.generate(deployment.graph, 1, 0)
        with pytest.raises(DeviceFault, match=r"rp2040.*hil_run_conv.*r0"):
            dut.infer(values[0])
