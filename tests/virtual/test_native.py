"""The native board: the whole line, what ends it, what it reports, and every operator under the sanitizers."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hil import api, virtual
from hil import board as boards
from hil.deployment import Deployment
from hil.errors import DeviceFault, LinkLost, ToolMissing, UsageError
from hil.image import build as image_build
from hil.image.elf import Elf
from hil.link import Link
from hil.measure import compare
from hil.model import inputs as input_sets
from hil.paths import ZOO
from tests.support.engine import sanitizing_compiler

if not sys.platform.startswith("linux"):
    pytest.skip("native is a Linux process", allow_module_level=True)

DIGITS = ZOO / "digits" / "digits.tflite"
LIMIT = 20.0
NATIVE = api.Request("native", inputs=2)
ZOO_MODELS = sorted(ZOO.glob("*/*.tflite"))
OPERATORS = [path for path in ZOO_MODELS if path.stem.startswith("op_")]

needs_sanitizers = pytest.mark.skipif(sanitizing_compiler() is None, reason="neither gcc nor clang is installed")
x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="patches x86-64 instructions into the image")


@pytest.fixture(scope="module")
def digits() -> Deployment:
    return api.prepare(DIGITS, NATIVE)


@pytest.mark.parametrize("cores", [1, 4])
@pytest.mark.parametrize("path", ZOO_MODELS, ids=lambda path: path.stem)
def test_the_zoo_is_exact_and_within_its_prediction(path: Path, cores: int) -> None:
    found = api.profile(path, replace(NATIVE, layers=True, cores=cores))
    assert found.passed, found.reasons
    assert found.source == "virtual"
    assert found.measured.outputs.mismatches == 0
    assert all(layer.result.mismatches == 0 for layer in found.measured.layers or ())
    assert 0.9 * found.deployment.ram_predicted <= found.measured.ram.peak <= found.deployment.ram_predicted
    assert found.measured.latency.cycles_median > 0
    assert len(found.measured.latency.samples) == 10
    assert len(found.measured.ram.stacks) == cores


@needs_sanitizers
@pytest.mark.parametrize(("sanitizer", "cores"), [("asan", 1), ("asan", 4), ("tsan", 4)])
@pytest.mark.parametrize("path", OPERATORS, ids=lambda path: path.stem)
def test_every_operator_is_clean_under(sanitizer: str, cores: int, path: Path) -> None:
    """Exact, and without a report. Jitter gives the thread sanitizer other interleavings than those of idle threads."""
    request = replace(NATIVE, toolchain=sanitizer, cores=cores, inputs=3)
    deployment = api.prepare(path, request)
    values = input_sets.generate(deployment.graph, request.inputs, 0)
    want = api.expected(deployment.graph, values)
    with api.running(deployment) as dut:
        dut.paint(0)
        for turn, (inputs, expected) in enumerate(zip(values, want.outputs, strict=True)):
            for got, reference in zip(dut.infer(inputs, jitter=turn).outputs, expected, strict=True):
                assert compare(got, reference).mismatches == 0
        assert len(dut.memory().stacks) == boards.load("native").cores
        assert dut.station.alive()
        assert "ERROR" not in dut.station.diagnostics(), dut.station.diagnostics()
        assert "WARNING" not in dut.station.diagnostics(), dut.station.diagnostics()


@needs_sanitizers
def test_the_thread_sanitizer_sees_a_core_that_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Barriers without waiting, in a copy of the sources: one core reads what another still writes, and it is told."""
    firmware = Path(shutil.copytree(image_build.FIRMWARE, tmp_path / "firmware"))
    file = firmware / "engine" / "team.c"
    barrier = "            hil_engine_meet(engine, core);\n"
    assert file.read_text().count(barrier) == 1
    file.write_text(file.read_text().replace(barrier, ""))
    monkeypatch.setattr(image_build, "FIRMWARE", firmware)
    deployment = api.prepare(DIGITS, replace(NATIVE, toolchain="tsan", cores=2))
    values = input_sets.generate(deployment.graph, 1, 0)
    with api.running(deployment) as dut:
        for turn in range(20):
            dut.infer(values[0], jitter=turn)
        deadline = time.monotonic() + LIMIT
        while "data race" not in dut.station.diagnostics() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "data race" in dut.station.diagnostics()


@needs_sanitizers
@pytest.mark.parametrize(("sanitizer", "call"), [("asan", "__asan_report_load1"), ("tsan", "__tsan_read1")])
def test_sanitizers_watch_the_kernels(sanitizer: str, call: str) -> None:
    image = api.prepare(DIGITS, replace(NATIVE, toolchain=sanitizer)).image
    assert Elf(image.elf).has(call)


def test_the_address_sanitizer_ends_the_board_with_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that reads behind an array of its own, put into a copy of the sources: it is found and told."""
    if sanitizing_compiler() is None:
        pytest.skip("neither gcc nor clang is installed")
    firmware = Path(shutil.copytree(image_build.FIRMWARE, tmp_path / "firmware"))
    file = firmware / "engine" / "executor.c"
    text = file.read_text()
    spoilt = "hil_status hil_engine_run("
    assert spoilt in text
    broken = """int hil_spoilt(uint32_t at);
__attribute__((no_sanitize("undefined"))) int hil_spoilt(uint32_t at)
{
    volatile int room[2] = {1, 2};
    const volatile int *from = room;
    return from[at];
}
"""
    text = text.replace(spoilt, broken + "\n" + spoilt, 1)
    text = text.replace(
        "    return HIL_OK;\n", "    return hil_spoilt(first + 2u) == 12345 ? HIL_BAD_STEP : HIL_OK;\n", 1
    )
    file.write_text(text)
    monkeypatch.setattr(image_build, "FIRMWARE", firmware)
    deployment = api.prepare(DIGITS, replace(NATIVE, toolchain="asan"))
    values = input_sets.generate(deployment.graph, 1, 0)
    with api.running(deployment) as dut:
        with pytest.raises(LinkLost):
            dut.infer(values[0])
        deadline = time.monotonic() + LIMIT
        while "hil_spoilt" not in dut.station.diagnostics() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "stack-buffer-overflow" in dut.station.diagnostics()
        assert "hil_spoilt" in dut.station.diagnostics()


def patched(deployment: Deployment, folder: Path, function: str, code: bytes) -> Deployment:
    """The deployment with other instructions where `function` begins."""
    elf = Elf(deployment.image.elf)
    address = elf.value(function)
    section = next(s for s in elf.sections if s.address and s.address <= address < s.address + s.size)
    data = bytearray(deployment.image.elf.read_bytes())
    at = section.offset + address - section.address
    data[at : at + len(code)] = code
    broken = Path(shutil.copyfile(deployment.image.elf, folder / "broken"))
    broken.write_bytes(data)
    broken.chmod(0o755)
    return replace(deployment, image=replace(deployment.image, elf=broken))


@x86_only
@pytest.mark.parametrize(
    ("code", "says"),
    [
        (b"\x0f\x0b", f"exception {int(signal.SIGILL)}"),  # ud2: what undefined behaviour runs into
        (b"\x31\xc0\x8b\x00", "hard fault"),  # mov eax, [0]
        (b"\xe8\xfb\xff\xff\xff", "hard fault"),  # call itself: the stack overflows into its guard
    ],
    ids=["undefined instruction", "null pointer", "stack overflow"],
)
def test_a_fault_is_reported_with_the_function(digits: Deployment, tmp_path: Path, code: bytes, says: str) -> None:
    values = input_sets.generate(digits.graph, 1, 0)[0]
    broken = patched(digits, tmp_path, "hil_run_conv", code)
    with api.running(broken) as dut, pytest.raises(DeviceFault, match=rf"native.*{says}.*hil_run_conv"):
        dut.infer(values)


def test_undefined_behaviour_is_trapped_in_every_build() -> None:
    assert {"-fsanitize=undefined", "-fsanitize-trap=undefined"} <= set(boards.load("native").build["zig"])


def test_a_lost_board_is_named(digits: Deployment) -> None:
    values = input_sets.generate(digits.graph, 1, 0)[0]
    with api.running(digits) as dut:
        threading.Timer(0.1, os.kill, (dut.station.pid, signal.SIGKILL)).start()  # type: ignore[attr-defined]

        def keep_running() -> None:
            while True:
                dut.infer(values)

        with pytest.raises(LinkLost, match=r"native.*socket://127\.0\.0\.1:\d+"):
            keep_running()
        deadline = time.monotonic() + LIMIT
        while dut.station.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not dut.station.alive()


def test_one_client_after_another(digits: Deployment) -> None:
    with virtual.start("native", digits.image.elf) as board:
        for _ in range(3):
            with Link.open(board.uart0_url) as link:
                assert link.hello().build_id == digits.image.build_id
        assert board.alive


def test_it_has_no_probe_and_this_machines_clock(digits: Deployment) -> None:
    with virtual.start("native", digits.image.elf) as board:
        with pytest.raises(UsageError, match="no probe"):
            _ = board.probe
        first = board.clock_ns()
        assert board.clock_ns() >= first > 0


def test_it_ends_with_its_owner(digits: Deployment) -> None:
    board = subprocess.Popen([digits.image.elf], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert board.stdin
    assert board.stdout
    with board.stdout:
        assert b'"hil.virtual/1"' in board.stdout.readline()
        board.stdin.close()
        assert board.wait(timeout=LIMIT) == 0


def test_stop_ends_the_process(digits: Deployment) -> None:
    board = virtual.start("native", digits.image.elf)
    board.stop()
    assert not board.alive


def test_its_time_is_not_counted() -> None:
    assert not boards.load("native").counted
    assert boards.load("rp2040").counted


def test_there_is_no_flash_image(digits: Deployment, tmp_path: Path) -> None:
    assert digits.image.bin is None
    assert [path.suffix for path in api.export(digits, tmp_path)] == [".elf"]
    assert digits.image.flash == digits.image.code + digits.image.program
    assert digits.image.program == len(digits.plan.program.data)


def test_other_systems_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ToolMissing, match="native is a Linux program, this is darwin"):
        image_build.build(boards.load("native"), b"")
