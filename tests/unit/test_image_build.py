"""Building images: what comes out, what is cached, what is refused."""

from __future__ import annotations

import dataclasses
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from hil import board as boards
from hil.board import Board, Region
from hil.errors import DoesNotFit, UsageError
from hil.image.boot2 import crc32_mpeg2
from hil.image.build import TOOLCHAINS, Image, build, compile_commands
from hil.image.elf import Elf
from hil.paths import ZOO
from hil.plan.kernels import Transfer
from hil.plan.program import Receive, encode
from hil.plan.records import Arena
from hil.wire import wire
from tests.support.native_link import program

needs = {"gcc": pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is missing")}
EACH = [pytest.param(name, marks=needs.get(name, ())) for name in TOOLCHAINS]


@pytest.fixture(scope="module")
def rp2040() -> Board:
    return boards.load("rp2040")


@pytest.fixture(scope="module", params=EACH)
def image(request: pytest.FixtureRequest, rp2040: Board) -> Image:
    return build(rp2040, program(), toolchain=request.param)


def test_flash_starts_with_a_boot_stage_that_the_rom_accepts(image: Image) -> None:
    flash = image.bin.read_bytes()
    assert struct.unpack_from("<I", flash, 252)[0] == crc32_mpeg2(flash[:252])
    stack, entry, nmi, fault = struct.unpack_from("<4I", flash, 256)
    assert stack == 0x2004_2000
    elf = Elf(image.elf)
    assert entry == elf.value("hil_reset") | 1
    assert nmi == fault == elf.value("on_exception") | 1


def test_sizes_add_up_and_keep_the_limits(image: Image, rp2040: Board) -> None:
    assert image.program == len(program())
    assert image.flash == image.bin.stat().st_size == image.code + image.program
    assert image.code <= 32 * 1024
    assert 2048 < image.static_ram <= 3 * 1024
    assert rp2040.ram.bytes - 16 <= image.static_ram + image.arena_room <= rp2040.ram.bytes
    assert program() in image.bin.read_bytes()
    assert bytes.fromhex(image.build_id) in image.bin.read_bytes()
    assert image.uf2
    assert image.uf2.stat().st_size == -(-image.flash // 256) * 512


def test_the_stack_is_bounded_far_below_what_there_is(image: Image, rp2040: Board) -> None:
    bound = image.stack_bound()
    assert 100 < bound.bytes < rp2040.stack_per_core // 2
    assert bound.path[:2] == ("hil_reset", "main")


def test_addresses_get_names(image: Image) -> None:
    address = Elf(image.elf).value("main")
    assert image.symbolize(address) == "main+0x0"
    assert image.symbolize((address & ~1) + 4) == "main+0x4"
    assert image.symbolize(0) == "0x00000000"


def test_a_second_build_comes_from_the_cache_and_another_program_costs_one_link(rp2040: Board) -> None:
    said: list[str] = []
    first = build(rp2040, program(steps=2), progress=said.append)
    said.clear()
    assert build(rp2040, program(steps=2), progress=said.append) == first
    assert said == []
    data = program(steps=2) + first.build_id.encode()  # new whenever the firmware is: never in the cache before
    other = build(rp2040, data + bytes(-len(data) % 4), progress=said.append)
    assert len(said) <= 1
    assert not [line for line in said if "compil" in line]
    assert other.build_id != first.build_id


def test_a_new_cache_gets_the_same_bytes(rp2040: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of where it is built may be in an image. (The compiler's own store is kept: it is slow to make.)"""
    before = build(rp2040, program())
    from hil.paths import cache_root

    store = cache_root() / "zig"
    monkeypatch.setenv("HIL_CACHE_DIR", str(tmp_path))
    (tmp_path / "zig").symlink_to(store)
    after = build(rp2040, program())
    assert after.elf != before.elf
    assert after.build_id == before.build_id
    assert after.bin.read_bytes() == before.bin.read_bytes()


def test_too_large_for_flash_is_refused_with_the_numbers(rp2040: Board) -> None:
    small = dataclasses.replace(rp2040, flash=Region(rp2040.flash.address, 0x10000))
    with pytest.raises(DoesNotFit, match="do not fit in 65536 bytes of flash") as caught:
        build(small, bytes(0x10000))
    assert caught.value.available == 0x10000


def test_what_cannot_be_built_is_a_usage_error(rp2040: Board) -> None:
    with pytest.raises(UsageError, match="no toolchain is called 'tcc'"):
        build(rp2040, b"", toolchain="tcc")
    with pytest.raises(UsageError, match=r"zig cannot build for rp2040: .* \[build\] table"):
        build(dataclasses.replace(rp2040, build={"gcc": ("-mthumb",)}), b"")


def test_compile_commands_name_every_source(rp2040: Board) -> None:
    commands = compile_commands(rp2040)
    names = {Path(str(entry["file"])).name for entry in commands}
    assert {"main.c", "server.c", "executor.c", "startup.c", "boot2.S"} <= names
    for entry in commands:
        arguments = entry["arguments"]
        assert isinstance(arguments, list)
        assert str(entry["file"]) in arguments
        assert "-Werror" in arguments


def networked() -> bytes:
    """Node 1 of 2, which receives."""
    record = Transfer(Arena(0), 64, 64, 1, 1, 0)
    return encode([record], [Receive(0, 0, 1, 0, 0)], [], [], arena_bytes=64, node=1, nodes=2).data


@pytest.mark.parametrize("name", ["rp2040", "rp2350"])
def test_a_network_costs_little_and_the_stack_stays_bounded(name: str) -> None:
    board = boards.load(name)
    alone, among = build(board, program()), build(board, networked(), network=wire("uart-3M"), nodes=2)
    assert among.static_ram - alone.static_ram <= 2560
    assert 4_000 < among.code - alone.code < 10_000
    assert alone.stack_bound().bytes <= among.stack_bound().bytes < board.stack_per_core // 2
    assert {"hil_engine_exchange", "hil_network_send"} <= {symbol.name for symbol in Elf(among.elf).symbols}
    assert "hil_engine_exchange" not in {symbol.name for symbol in Elf(alone.elf).symbols}


def test_each_rate_is_another_firmware_but_a_lone_node_has_no_wire(rp2040: Board) -> None:
    ids = {build(rp2040, networked(), network=wire(name), nodes=2).build_id for name in ("uart-3M", "uart-115200")}
    assert len(ids) == 2
    assert build(rp2040, program(), network=wire("uart-3M")).build_id == build(rp2040, program()).build_id


def test_a_wire_that_the_board_has_no_port_for_is_a_usage_error(rp2040: Board) -> None:
    for network, says in ((None, "a wire"), (wire("loopback"), "loopback"), (wire("uart:9000000"), "uart:9000000")):
        with pytest.raises(UsageError, match=f"rp2040 cannot be one of 4 nodes on {says}; its network ports: uart up"):
            build(rp2040, program(), network=network, nodes=4)
    for nodes in (0, 17):
        with pytest.raises(UsageError, match=f"firmware for {nodes} nodes; there can be 1 to 16"):
            build(rp2040, program(), network=wire("uart-3M"), nodes=nodes)


def test_a_firmware_tree_of_ones_own_is_used_or_named(tmp_path: Path) -> None:
    """`HIL_FIRMWARE` is read when hil starts; a folder without firmware is refused before a compiler is."""
    model = ZOO / "op_tiny" / "op_tiny.tflite"
    command = [sys.executable, "-m", "hil", "plan", str(model), "--board", "rp2040"]
    own = os.environ | {"HIL_FIRMWARE": str(tmp_path), "COLUMNS": "400"}
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert f"HIL_FIRMWARE: no firmware in {tmp_path}: main.c is missing next: unset HIL_FIRMWARE" in said
