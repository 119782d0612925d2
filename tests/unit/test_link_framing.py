"""Frames: both sides agree, and nothing but a sound frame comes through."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hil.link.framing import MAX_PAYLOAD, Deframer, Frame, cobs_decode, cobs_encode, parse
from tests.support.native_link import decode_on_device

sparse = st.lists(st.sampled_from([b"\0", b"\1", b"\xff", b"x" * 253, b"y" * 254, b"z" * 255]), max_size=6).map(
    b"".join
)
blobs = st.one_of(st.binary(max_size=MAX_PAYLOAD), sparse)
frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=64), st.integers(0, 255))


@given(blobs)
def test_cobs_has_no_zeros_and_decodes_on_both_sides(data: bytes) -> None:
    stuffed = cobs_encode(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + len(data) // 254 + 1
    assert cobs_decode(stuffed) == data
    assert decode_on_device(stuffed) == data


def test_cobs_known_values() -> None:
    """The examples of the paper's table, and the boundary at 254."""
    assert cobs_encode(b"") == b"\x01"
    assert cobs_encode(b"\0") == b"\x01\x01"
    assert cobs_encode(b"\x11\x22\x00\x33") == b"\x03\x11\x22\x02\x33"
    assert cobs_encode(bytes(range(1, 255))) == b"\xff" + bytes(range(1, 255))
    assert cobs_encode(bytes(range(1, 255)) + b"\0") == b"\xff" + bytes(range(1, 255)) + b"\x01\x01"


@given(st.binary(max_size=600))
def test_arbitrary_bytes_decode_alike_on_both_sides(data: bytes) -> None:
    assert decode_on_device(data) == (cobs_decode(data) or b"")


@given(st.lists(frames, max_size=5), st.integers(1, 50))
def test_frames_survive_any_chunking(sent: list[Frame], chunk: int) -> None:
    wire = b"".join(frame.encode() for frame in sent)
    deframer = Deframer()
    found = [f for at in range(0, len(wire), chunk) for f in deframer.feed(wire[at : at + chunk])]
    assert found == sent
    assert deframer.dropped == 0


@given(frames, st.data())
def test_a_damaged_frame_is_dropped(frame: Frame, data: st.DataObject) -> None:
    wire = bytearray(frame.encode()[1:-1])
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))
    assert all(parse(piece) != frame for piece in bytes(wire).split(b"\0"))
    assert [p for piece in bytes(wire).split(b"\0") if (p := parse(piece))] == []


@settings(max_examples=30)
@given(st.binary(max_size=5000), frames)
def test_a_frame_behind_noise_is_found_and_memory_is_bounded(noise: bytes, frame: Frame) -> None:
    deframer = Deframer()
    for _ in range(4):
        deframer.feed(noise)
    assert len(deframer._pending) < 2 * MAX_PAYLOAD
    assert deframer.feed(frame.encode())[-1] == frame
