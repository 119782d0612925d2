"""Images that pyOCD writes to RAM: they compute as those in flash do, and flash does not notice."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import hil.virtual
from hil import api, cli, flash
from hil import board as boards
from hil.bench.virtual import VirtualStation
from hil.deployment import Deployment
from hil.dut import connected
from hil.errors import DoesNotFit, FlashFailed, UsageError
from hil.image.elf import Elf
from hil.model import inputs as input_sets
from hil.paths import ZOO
from hil.variant import Load

KINDS = ("rp2040", "rp2350")
MEBIBYTE = 1 << 20


def deployed(kind: str, model: str, load: Load = "ram", cores: int = 1) -> Deployment:
    return api.prepare(ZOO / model / f"{model}.tflite", api.Request(board=kind, load=load, cores=cores))


def computes(deployment: Deployment, board: hil.virtual.VirtualBoard) -> None:
    values = input_sets.generate(deployment.graph, 2, 0)
    wanted = api.expected(deployment.graph, values).outputs
    with connected(deployment, VirtualStation(deployment.board.name, board)) as dut:
        for given, outputs in zip(values, wanted, strict=True):
            for got, want in zip(dut.infer(given).outputs, outputs, strict=True):
                assert np.array_equal(got, want)


def in_flash(board: hil.virtual.VirtualBoard, kind: str) -> bytes:
    region = boards.load(kind).flash
    return b"".join(board.probe.read(at, MEBIBYTE) for at in range(region.address, region.end, MEBIBYTE))


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_an_image_in_ram_computes_bit_exactly_and_flash_stays_erased(kind: str, cores: int) -> None:
    deployment = deployed(kind, "resnet8", cores=cores)
    with hil.virtual.start(kind) as board:
        done = flash.flash(f"hil:{board.debug_port}", deployment.image, boards.load(kind))
        assert (done.tool, done.verified, done.bytes_written) == ("pyocd", True, deployment.image.flash)
        computes(deployment, board)
        assert set(in_flash(board, kind)) == {0xFF}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_flash_outlives_an_image_in_ram(kind: str) -> None:
    below, above = deployed(kind, "op_tiny", "flash"), deployed(kind, "digits")
    with hil.virtual.start(kind, below.image.elf) as board:
        before = in_flash(board, kind)
        computes(below, board)
        for _ in range(2):  # onto firmware in flash, and onto its own like
            flash.flash(f"hil:{board.debug_port}", above.image, boards.load(kind))
            computes(above, board)
        assert in_flash(board, kind) == before
        board.probe.reset()
        computes(below, board)


@pytest.mark.parametrize("kind", KINDS)
def test_its_measurement_is_that_from_flash_but_for_where_the_image_is(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    records = {}
    for load in ("flash", "ram"):
        model = ZOO / "digits" / "digits.tflite"
        assert cli.main(["profile", str(model), "--board", kind, "--load", load, "--json", "-"]) == 0
        records[load] = json.loads(capsys.readouterr().out)
    memory = {load: record["memory"] for load, record in records.items()}
    assert (records["ram"]["load"], "load" in records["flash"]) == ("ram", False)
    assert memory["ram"]["ram_image"] == memory["flash"]["flash"] > 0
    assert memory["ram"]["ram_image"] == memory["ram"]["ram_image_code"] + memory["ram"]["ram_image_program"]
    assert [memory["ram"][key] for key in ("flash", "flash_code", "flash_program")] == [0, 0, 0]
    for key in ("ram_peak", "ram_static", "arena", "stacks", "ram_predicted"):
        assert memory["ram"][key] == memory["flash"][key]
    assert records["ram"]["latency"]["cycles_median"] == records["flash"]["latency"]["cycles_median"]


def test_the_image_and_its_data_share_ram_and_nothing_else() -> None:
    image = deployed("rp2040", "digits").image
    elf, ram = Elf(image.elf), boards.load("rp2040").ram
    assert image.in_ram is not None
    assert image.in_ram.address == ram.address
    for segment in elf.segments:
        assert ram.address <= segment.physical <= segment.physical + len(segment.data) <= ram.end
    assert elf.value("__hil_data_start") >= ram.address + image.flash
    assert elf.value("__hil_arena_end") == ram.end
    assert image.uf2 is None


def test_an_image_that_is_too_large_is_refused_before_anything_is_touched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **more: object) -> None:
        raise AssertionError("a board was started")

    monkeypatch.setattr("hil.virtual.start", never)
    model = ZOO / "mobilenetv1_025" / "mobilenetv1_025.tflite"
    with pytest.raises(DoesNotFit) as caught:
        api.prepare(model, api.Request(board="rp2040", load="ram"))
    assert caught.value.needed > caught.value.available == boards.load("rp2040").ram.bytes
    assert caught.value.hint == "--load flash"
    for command in (["flash", "--ram"], ["profile", "--load", "ram"], ["plan", "--load", "ram"]):
        assert cli.main([command[0], str(model), "--board", "rp2040", *command[1:]]) == 3
        said = " ".join(capsys.readouterr().err.split())
        assert f"it needs {caught.value.needed} bytes, {caught.value.available} are available" in said


def test_ram_that_a_user_keeps_back_is_not_used() -> None:
    name = "rp2040:96K"
    deployment = api.prepare(ZOO / "digits" / "digits.tflite", api.Request(board=name, load="ram"))
    assert Elf(deployment.image.elf).value("__hil_arena_end") == 0x2000_0000 + 96 * 1024
    with pytest.raises(DoesNotFit, match="98304 are available"):
        api.prepare(ZOO / "resnet8" / "resnet8.tflite", api.Request(board=name, load="ram"))


def test_hil_flash_loads_ram_and_asks_the_board_who_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    model = ZOO / "op_tiny" / "op_tiny.tflite"
    assert cli.main(["flash", str(model), "--board", "rp2350", "--ram", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["tool"], record["answers"], record["verified"]) == ("pyocd", True, True)


def test_the_suite_runs_from_ram(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    model = ZOO / "digits" / "digits.tflite"
    words = ["--hil-no-zoo", "--hil-model", model, "--board=rp2040", "--hil-load=ram", "-k", "outputs"]
    command = [sys.executable, "-m", "pytest", *words, f"--junitxml={results}", "--pyargs", "hil.suite"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    found = {item.get("name"): item.get("value") for item in ElementTree.parse(results).iter("property")}
    assert found["hil.flash_bytes"] == "0"
    assert found["hil.load"] == "ram"
    assert int(found["hil.ram_image_bytes"] or 0) == deployed("rp2040", "digits").image.flash


@pytest.mark.parametrize(("kind", "other"), [("rp2040", "rp2350"), ("rp2350", "rp2040")])
def test_another_kind_of_board_is_not_written_to(kind: str, other: str) -> None:
    deployment = deployed(kind, "op_tiny")
    with hil.virtual.start(other) as board:
        before = board.probe.read(0x2000_0000, 4096)
        with pytest.raises(FlashFailed) as caught:
            flash.flash(f"hil:{board.debug_port}", deployment.image, boards.load(kind))
        assert f"{kind} at probe hil:{board.debug_port}" in caught.value.message
        assert board.probe.read(0x2000_0000, 4096) == before


def test_what_cannot_write_ram_is_told_so() -> None:
    image = deployed("rp2040", "op_tiny").image
    with pytest.raises(UsageError, match="uf2 does not write there"):
        flash.flash("/nowhere", image, boards.load("rp2040"), "uf2")
    with pytest.raises(UsageError, match="no debugger is known for native"):
        api.prepare(ZOO / "op_tiny" / "op_tiny.tflite", api.Request(board="native", load="ram"))
    with pytest.raises(UsageError, match="for one board"):
        api.prepare_cluster(ZOO / "digits" / "digits.tflite", api.Request(board="rp2040", nodes=2, load="ram"))
    with pytest.raises(FlashFailed, match=r"no debug port at .*log: "):
        flash.flash("hil:127.0.0.1:1", image, boards.load("rp2040"))


def test_an_image_that_lies_beyond_ram_is_not_written(tmp_path: Path) -> None:
    deployment = deployed("rp2040", "op_tiny")
    huge = tmp_path / "huge.bin"
    huge.write_bytes(bytes(MEBIBYTE))
    with hil.virtual.start("rp2040") as board, pytest.raises(FlashFailed, match="knows no RAM for 1048576 bytes"):
        flash.flash(f"hil:{board.debug_port}", replace(deployment.image, bin=huge), boards.load("rp2040"))
