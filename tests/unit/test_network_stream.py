"""Frames on a stream of bytes: the firmware's stuffing against the host's."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.cache import digest, entry, tree_digest
from hil.image.toolchain import zig
from hil.link.framing import cobs_decode, cobs_encode
from hil.paths import FIRMWARE

_SOURCE = Path(__file__).parents[1] / "support" / "native_stream.c"
ROOM = 548


@cache
def library() -> ctypes.CDLL:
    compiler = zig()
    flags = ["-O1", "-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-trap=undefined", "-std=c11"]
    flags += ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", f"-I{FIRMWARE / 'net'}"]

    def make(folder: Path) -> None:
        compiler.run([*flags, _SOURCE, "-o", folder / "stream.so"], what="building the stream natively")

    key = digest("stream.so/1", compiler.version, tree_digest(FIRMWARE / "net", _SOURCE))
    return ctypes.CDLL(str(entry("test-stream", key, make) / "stream.so"))


def stuffed(frame: bytes) -> bytes:
    line = ctypes.create_string_buffer(2 * len(frame) + 16)
    count = library().stream_stuff(frame, len(frame), line)
    return line.raw[:count]


def unstuffed(line: bytes, room: int = ROOM) -> list[bytes]:
    frames = ctypes.create_string_buffer(len(line) + room + 1)
    sizes = (ctypes.c_uint32 * (len(line) + 1))()
    count = library().stream_unstuff(line, len(line), room, frames, sizes)
    found, at = [], 0
    for size in sizes[:count]:
        found.append(frames.raw[at : at + size])
        at += size
    return found


# Few values, so that runs without zeros of just under, just, and just over 254 bytes come up.
frames = st.one_of(
    st.binary(min_size=1, max_size=ROOM),
    st.lists(st.tuples(st.sampled_from([0, 1, 255]), st.sampled_from([1, 2, 253, 254, 255])), min_size=1, max_size=6)
    .map(lambda parts: b"".join(bytes([value]) * count for value, count in parts)[:ROOM]),
)  # fmt: skip


@given(frames)
def test_a_frame_is_stuffed_as_the_host_does(frame: bytes) -> None:
    assert stuffed(frame) == b"\0" + cobs_encode(frame) + b"\0"


@given(st.lists(frames, max_size=4))
def test_frames_come_out_as_they_went_in(given_frames: list[bytes]) -> None:
    assert unstuffed(b"".join(stuffed(frame) for frame in given_frames)) == given_frames


@given(st.lists(st.one_of(st.binary(max_size=700), frames.map(cobs_encode)), max_size=5))
def test_noise_between_zeros_is_dropped_or_is_what_the_host_reads(pieces: list[bytes]) -> None:
    line = b"\0".join(pieces) + b"\0"
    expected = [cobs_decode(piece) for piece in line.split(b"\0")[:-1]]
    assert unstuffed(line) == [frame for frame in expected if frame and len(frame) <= ROOM]


@pytest.mark.parametrize("size", [ROOM, ROOM + 1])
def test_what_is_too_long_is_dropped_and_the_next_is_heard(size: int) -> None:
    line = stuffed(b"\1" * size) + stuffed(b"next")
    assert unstuffed(line) == ([b"\1" * size] if size == ROOM else []) + [b"next"]
