"""ELF, checksum, BIN and UF2: the bytes that end up in flash."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import BuildFailed
from hil.image.boot2 import crc32_mpeg2
from hil.image.elf import Elf, Segment, flat
from hil.image.uf2 import encode


def test_the_boot_checksum_is_crc32_mpeg2() -> None:
    """The check value of this CRC in the catalogue of parametrised CRC algorithms."""
    assert crc32_mpeg2(b"123456789") == 0x0376E6E7


@given(st.binary(max_size=1500))
def test_uf2_blocks_carry_every_byte_once(data: bytes) -> None:
    blob = encode(data, 0x1000_0000, 0xE48BFF56)
    assert len(blob) % 512 == 0
    count = len(blob) // 512
    back = b""
    for index in range(count):
        block = blob[index * 512 : (index + 1) * 512]
        first, second, flags, address, size, number, total, family = struct.unpack_from("<8I", block)
        assert (first, second, struct.unpack_from("<I", block, 508)[0]) == (0x0A324655, 0x9E5D5157, 0x0AB16F30)
        assert (flags, size, family) == (0x2000, 256, 0xE48BFF56)
        assert (number, total, address) == (index, count, 0x1000_0000 + 256 * index)
        back += block[32 : 32 + size]
    assert back == data.ljust(len(back), b"\xff")
    assert len(back) - len(data) < 256


def test_uf2_refuses_an_address_that_the_boot_rom_would() -> None:
    with pytest.raises(ValueError, match="multiple of 256"):
        encode(b"x", 0x1000_0001, 0)


def test_gaps_between_segments_read_as_erased_flash() -> None:
    segments = (Segment(0x100, 0x100, 0, b"ab"), Segment(0x106, 0x2000_0000, 0, b"cd"))
    assert flat(segments, 0x100) == b"ab\xff\xff\xff\xffcd"
    with pytest.raises(BuildFailed, match="overlaps"):
        flat((Segment(0x100, 0x100, 0, b"ab"), Segment(0x101, 0, 0, b"c")), 0x100)
    with pytest.raises(BuildFailed, match="lies below"):
        flat(segments, 0x200)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x7fELF",
        b"\x7fELF\x02\x01" + bytes(60),
        b"\x7fELF\x01\x01" + bytes(10),
        b"\x7fELF\x01\x01" + bytes(10) + struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, 0, 9999, 9999, 0, 52, 32, 1, 40, 1, 0),
    ],
)
def test_a_damaged_elf_is_an_error_of_its_own(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.elf"
    path.write_bytes(data)
    with pytest.raises(BuildFailed, match=r"bad\.elf"):
        Elf(path).symbolize(0) if len(data) > 52 else Elf(path).segments
