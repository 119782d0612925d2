"""The ESP32-C3 from model to verdict on its virtual board, and unmodified esptool on its boot ROM's loader."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hil import api, virtual
from hil import board as boards
from hil.deployment import Deployment
from hil.errors import DeviceFault, FlashFailed, InfrastructureError, UsageError
from hil.flash.esptool import Esptool
from hil.image.elf import Elf
from hil.link import Link
from hil.model import inputs as input_sets
from hil.paths import ZOO
from hil.record import profile_record

BOARD = "esp32c3"
KIND = boards.load(BOARD)
DIGITS = ZOO / "digits" / "digits.tflite"
RESNET = ZOO / "resnet8" / "resnet8.tflite"


def silent(text: str) -> None:
    del text


@pytest.fixture(scope="module")
def digits() -> Deployment:
    return api.prepare(DIGITS, api.Request(BOARD))


def lines(board: virtual.VirtualBoard) -> Callable[[bool], None]:
    """What a button and a pin do to it."""

    def reset(download: bool) -> None:
        if download:
            board.probe.download()
        else:
            board.probe.reset()

    return reset


def runs_it(board: virtual.VirtualBoard, deployment: Deployment) -> bool:
    """Whether it runs this very image, and computes what the reference does."""
    values = input_sets.generate(deployment.graph, 1, 0)
    (expected,) = api.expected(deployment.graph, values).outputs
    with Link.open(board.uart0_url, board=BOARD, symbolize=deployment.image.symbolize) as link:
        if link.hello().build_id != deployment.image.build_id:
            return False
        program = deployment.plan.program
        for span, value in zip(program.inputs, values[0], strict=True):
            link.write(span.offset, value.tobytes())
        link.run()
        found = [link.read(span.offset, span.bytes) for span in program.outputs]
        return found == [want.tobytes() for want in expected]


@pytest.mark.parametrize("model", sorted(ZOO.glob("*/*.tflite")), ids=lambda path: path.stem)
def test_every_model_is_bit_exact(model: Path) -> None:
    record = profile_record(api.profile(model, api.Request(BOARD, inputs=1, repeats=1, warmup=0)))
    assert record["outputs"]["mismatches"] == 0, record["reasons"]
    memory = record["memory"]
    assert 0.9 * memory["ram_predicted"] <= memory["ram_peak"] <= memory["ram_predicted"]


def test_twice_the_same() -> None:
    first, second = (profile_record(api.profile(DIGITS, api.Request(BOARD, inputs=2))) for _ in range(2))
    assert first == second
    assert (first["verdict"], first["bench"]) == ("pass", "virtual")


def test_a_fault_is_reported_with_its_function(digits: Deployment, tmp_path: Path) -> None:
    elf = Elf(digits.image.elf)
    code = elf.value("hil_run_conv")
    segment = next(s for s in elf.segments if s.virtual <= code < s.virtual + len(s.data))
    data = bytearray(digits.image.elf.read_bytes())
    at = segment.offset + code - segment.virtual
    data[at : at + 2] = b"\0\0"
    broken = tmp_path / "broken.elf"
    broken.write_bytes(data)
    values = input_sets.generate(digits.graph, 1, 0)
    with (
        api.running(replace(digits, image=replace(digits.image, elf=broken))) as dut,
        pytest.raises(DeviceFault, match=r"hard fault on core 0.*hil_run_conv\+0x0"),
    ):
        dut.infer(values[0])


def test_esptool_writes_verifies_and_boots_it(digits: Deployment) -> None:
    assert digits.image.bin is not None
    with virtual.start(BOARD) as board:
        flashed = Esptool(board.uart0_url, reset=lines(board)).flash(digits.image, KIND, say=silent)
        size = digits.image.bin.stat().st_size
        assert (flashed.tool, flashed.bytes, flashed.bytes_written, flashed.verified) == ("esptool", size, size, True)
        assert board.probe.read(KIND.flash.address, size) == digits.image.bin.read_bytes()
        assert runs_it(board, digits)
        assert "Hash of data verified" in flashed.log.read_text("utf-8")


def test_another_image_takes_the_place_of_one_that_runs(digits: Deployment) -> None:
    other = api.prepare(RESNET, api.Request(BOARD))
    with virtual.start(BOARD, digits.image.elf) as board:
        assert runs_it(board, digits)
        said: list[str] = []
        Esptool(board.uart0_url, reset=lines(board)).flash(other.image, KIND, say=said.append)
        assert any("100%" in line for line in said)
        assert runs_it(board, other)


def test_hil_flash_does_all_of_it(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    command = [sys.executable, "-m", "hil", "flash", str(DIGITS), "--board", BOARD, "--json", str(record)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(record.read_text("utf-8"))
    assert (found["tool"], found["verified"], found["answers"]) == ("esptool", True, True)


def esptool(*arguments: str, cwd: Path) -> str:
    """What esptool says, run as a person runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "esptool", "--chip", BOARD, *arguments],
        capture_output=True, text=True, timeout=300, check=False, cwd=cwd,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dtr_and_rts_lead_into_the_loader_and_out_of_it(digits: Deployment, tmp_path: Path) -> None:
    """Through a serial port of RFC 2217, which costs a fifth of a second a request: no more than one that writes."""
    with virtual.start(BOARD, digits.image.elf) as board:
        assert runs_it(board, digits)
        said = esptool("--port", str(board.serial_url), "--no-stub", "read-mac", cwd=tmp_path)
        assert "02:00:41:55:2d:01" in said
        assert runs_it(board, digits)


def test_the_rom_alone_writes_too(digits: Deployment, tmp_path: Path) -> None:
    with virtual.start(BOARD) as board:
        board.probe.download()
        lead = ("--port", board.uart0_url, "--before", "no-reset", "--after", "no-reset", "--no-stub")
        for how in ((), ("--no-compress",)):
            said = esptool(*lead, "write-flash", *how, "0", str(digits.image.bin), cwd=tmp_path)
            assert "Hash of data verified" in said
        board.probe.reset()
        assert runs_it(board, digits)


def test_who_does_not_speak_rfc_2217_is_hung_up_on() -> None:
    with virtual.start(BOARD) as board:
        assert "nothing to boot" in board.diagnostics()
        port = int(str(board.serial_url).rpartition(":")[2])
        for noise in (b"\xff\xf0", b"\xff\xfa\x2c\x01\xff\xf0", b"\xff\xfa" + b"x" * 1000):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(noise)
                while client.recv(4096):
                    pass
        assert board.probe.wait_idle().idle


def test_a_chip_of_another_kind_is_left_alone(digits: Deployment) -> None:
    with virtual.start(BOARD, digits.image.elf) as board:
        before = board.probe.read(KIND.flash.address, 65536)
        other = replace(KIND, flash_tools={"esptool": "esp32s3"})
        with pytest.raises(FlashFailed, match=r"esp32c3 at socket://.*This chip is ESP32-C3.*attempt 1") as caught:
            Esptool(board.uart0_url, reset=lines(board)).flash(digits.image, other, say=silent)
        assert "chip-id" in str(caught.value.hint)
        assert board.probe.read(KIND.flash.address, 65536) == before
        board.probe.reset()
        assert runs_it(board, digits)


def test_a_board_that_vanishes_half_way_is_named(digits: Deployment) -> None:
    with virtual.start(BOARD) as board:
        url = board.uart0_url
        reset = lines(board)

        def pull_the_plug(text: str) -> None:
            if "%" in text:
                board.stop()

        with pytest.raises(InfrastructureError) as caught:
            Esptool(url, reset=reset).flash(digits.image, KIND, say=pull_the_plug)
        assert isinstance(caught.value, FlashFailed), caught.value
        assert url in caught.value.message


def test_a_port_that_never_answers_has_its_limit(digits: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"socket://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(FlashFailed, match=r"no result in 2 s"):
            Esptool(url, reset=lambda _: None, limit=2).flash(digits.image, KIND, say=silent)


def test_a_port_without_lines_needs_somebody_who_resets() -> None:
    with pytest.raises(UsageError, match="no DTR and RTS"):
        Esptool("socket://127.0.0.1:1")


def test_a_port_that_is_not_there_is_named(digits: Deployment) -> None:
    with pytest.raises(FlashFailed, match=r"esp32c3 at /dev/no-such-port: esptool: .*attempt 1"):
        Esptool("/dev/no-such-port").flash(digits.image, KIND, say=silent)
