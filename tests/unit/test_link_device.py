"""The host's side against the firmware's own code, over good lines and bad ones."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import DeviceRefused, LinkTimeout
from hil.link import Faults, FaultyTransport, Link, RunState, Span
from hil.link.framing import Deframer, Frame, cobs_encode
from hil.link.messages import ANSWER, Kind, u32
from tests.support.engine import sanitizing_compiler
from tests.support.native_link import ARENA, WORK, NativeDevice, program, run_sanitized

FAST = {"baud": 10**9, "timeout": 0.002, "poll": 0.004}


def link_to(device: object, **options: object) -> Link:
    return Link(device, **{**FAST, **options})  # type: ignore[arg-type]


def test_hello_says_what_the_image_holds() -> None:
    image = program(steps=3, arena=4096, inputs=2)
    hello = link_to(NativeDevice(image)).hello()
    assert (hello.board, hello.cores, hello.clock_hz, hello.mtu) == ("native", 2, 125_000_000, 1024)
    assert hello.build_id == "000102030405060708090a0b0c0d0e0f"
    assert (hello.loaded, hello.steps, hello.program_bytes) == (True, 3, len(image))
    assert hello.program_crc == int.from_bytes(image[12:16], "little")
    assert (hello.arena_needed, hello.arena_room) == (4096, ARENA)
    assert hello.inputs == (Span(0, WORK),) * 2
    assert hello.outputs == (Span(0, WORK),)


def test_more_tensors_than_one_frame_holds() -> None:
    assert len(link_to(NativeDevice(program(inputs=300))).hello().inputs) == 300


@pytest.mark.parametrize("length", [0, 1, 1019, 1020, 1021, 1024, 1025, 4096])
def test_write_then_read_any_length(length: int) -> None:
    link = link_to(NativeDevice())
    data = bytes(i * 7 & 255 for i in range(length))
    link.write(4096 - length, data)
    assert link.read(4096 - length, length) == data


@given(st.binary(max_size=1024))
def test_echo(data: bytes) -> None:
    assert link_to(NativeDevice()).echo(data) == data


def test_run_reports_the_devices_own_clock() -> None:
    link = link_to(NativeDevice(us_a_step=1000))
    result = link.run(1, 2)
    assert (result.state, result.status, result.step) == (RunState.FINISHED, 0, 2)
    assert (result.us, result.cycles) == (2000, 2 * 125_007)
    assert link.status() == result


@pytest.mark.parametrize("us", [0, 1, 134_217, 134_218, 201_326, 201_327, 10_000_000, 5_000_000_000])
def test_cycles_beyond_the_counters_wrap(us: int) -> None:
    """SysTick has 24 bits, 134 ms at 125 MHz; the timer says how often it went round."""
    result = link_to(NativeDevice(program(steps=1), us_a_step=us)).run()
    assert (result.us, result.cycles) == (us, us * 125 + 7)


def test_memory_counts_from_the_paint() -> None:
    link = link_to(NativeDevice())
    link.paint(0x5A)
    assert link.memory().arena_used == 0
    assert [use.used for use in link.memory().stacks] == [0, 0]
    link.run()
    memory = link.memory()
    assert (memory.arena_used, memory.paint) == (WORK, 0x5A)
    assert [(use.size, use.used) for use in memory.stacks] == [(256, 40), (256, 0)]


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (lambda link: link.write(4095, b"ab"), "WRITE refused: the request reaches outside"),
        (lambda link: link.write(2**32 - 1, b"a"), "WRITE refused: the request reaches outside"),
        (lambda link: link.read(4096, 1), "READ refused"),
        (lambda link: link.read(2**32 - 8, 16), "READ refused"),
        (lambda link: link.run(4, 1), "RUN refused"),
        (lambda link: link.run(0, 1, alone=1), "RUN refused"),
        (lambda link: link.run(2**32 - 1, 2), "RUN refused"),
        (lambda link: link.paint(256), "PAINT refused"),
        (lambda link: link._request(Kind.TENSORS, u32(2, 0)), "TENSORS refused"),
        (lambda link: link._request(Kind.TENSORS, u32(0, 9)), "TENSORS refused"),
        (lambda link: link._request(Kind.READ, u32(0, 1025)), "READ refused: the request reaches outside"),
        (lambda link: link._request(Kind.READ, b""), "wrong length"),
        (lambda link: link._request(Kind.WRITE, b"abc"), "WRITE refused: the payload has the wrong length"),
        (lambda link: link._request(Kind.STATUS, b"x"), "wrong length"),
        (lambda link: link._request(Kind.DONE, b""), "does not know this request"),
    ],
)
def test_bad_requests_are_refused_and_the_device_lives(action: object, says: str) -> None:
    link = link_to(NativeDevice())
    link.hello()
    with pytest.raises(DeviceRefused, match=says):
        action(link)  # type: ignore[operator]
    assert link.echo(b"still here") == b"still here"


def test_a_program_that_the_engine_refuses_is_named() -> None:
    image = bytearray(program())
    image[70] ^= 1
    link = link_to(NativeDevice(bytes(image)))
    hello = link.hello()
    assert (hello.load_status, hello.loaded) == (5, False)
    with pytest.raises(DeviceRefused, match=r"RUN refused: the engine refused the program in the image.*CRC is wrong"):
        link.run()


def test_a_restart_in_mid_session_is_noticed() -> None:
    device = NativeDevice()
    lines: list[str] = []
    link = link_to(device, on_log=lines.append)
    link.hello()
    device.start()
    with pytest.raises(DeviceRefused, match="restarted since HELLO"):
        link.run()
    assert lines == ["started", "started"]
    assert list(link.log) == lines


def test_another_protocol_version_is_refused() -> None:
    device = NativeDevice()
    device.write(Frame(Kind.HELLO, 0, b"", version=9).encode())
    answers = [f for f in Deframer().feed(device.read(4096, 0)) if f.kind == Kind.HELLO | ANSWER]
    assert [f.status for f in answers] == [6]


def exchange(device: NativeDevice, *frames: Frame) -> list[Frame]:
    for frame in frames:
        device.write(frame.encode())
    return [f for f in Deframer().feed(device.read(1 << 16, 0)) if f.kind != Kind.LOG]


def test_a_repeated_request_is_answered_again_but_done_once() -> None:
    device = NativeDevice()
    exchange(device, Frame(Kind.HELLO, 0, b""), Frame(Kind.PAINT, 1, u32(0)))
    run = Frame(Kind.RUN, 2, u32(1, 0, 1, 0, 0, 1, 0, 0))
    assert [f.kind for f in exchange(device, run)] == [Kind.RUN | ANSWER, Kind.DONE]
    assert [f.kind for f in exchange(device, run, run)] == [Kind.RUN | ANSWER] * 2
    read = Frame(Kind.READ, 3, u32(0, 1))
    assert exchange(device, read)[0].payload == b"\1"


def raw(body: bytes) -> bytes:
    """A frame with a sound CRC around anything."""
    return b"\0" + cobs_encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


@pytest.mark.parametrize(
    "bad",
    [
        raw(struct.pack("<BBHHBB", 1, Kind.ECHO, 1, 5, 0, 0) + b"four"),  # says five
        raw(struct.pack("<BBHHBB", 1, Kind.ECHO, 1, 3, 0, 0) + b"four"),  # says three
        raw(struct.pack("<BBHHBB", 1, Kind.ECHO, 1, 0xFFFF, 0, 0)),
        raw(struct.pack("<BBHH", 1, Kind.ECHO, 1, 0)),  # no whole header
        raw(struct.pack("<BBHHBB", 1, Kind.ECHO, 1, 1025, 0, 0) + bytes(1025)),
        b"\0" + b"\xff" * 3000 + b"\0",
        b"\0" + b"\1" * 1042 + b"\0",
        b"\0" + b"\1" * 1043 + b"\0",
        b"\0\0\0",
    ],
)
def test_unsound_frames_are_dropped_and_the_next_is_heard(bad: bytes) -> None:
    device = NativeDevice()
    exchange(device, Frame(Kind.HELLO, 0, b""))
    device.write(bad)
    assert device.read(1 << 16, 0) == b""
    assert [f.payload for f in exchange(device, Frame(Kind.ECHO, 2, b"next"))] == [b"next"]


def test_the_largest_frame_is_heard_in_its_worst_encoding() -> None:
    device = NativeDevice()
    frame = Frame(Kind.ECHO, 0x0102, b"\1" * 1024)
    wire = frame.encode()
    assert len(wire) == 2 + 1036 + 5
    assert exchange(device, Frame(Kind.HELLO, 0, b""), frame)[1].payload == frame.payload
    longer = Frame(Kind.ECHO, 0x0103, frame.payload).encode()
    assert len(longer) == len(wire)
    device.write(longer[:-1] + b"\x55\0")  # what fits is sound, but it is not the frame
    assert device.read(1 << 16, 0) == b""


def test_a_late_repeat_of_an_old_request_is_ignored() -> None:
    device = NativeDevice()
    old = Frame(Kind.WRITE, 1, u32(0) + b"old")
    exchange(device, Frame(Kind.HELLO, 0, b""), old, Frame(Kind.WRITE, 2, u32(0) + b"new"))
    assert exchange(device, old) == []
    assert exchange(device, Frame(Kind.READ, 3, u32(0, 3)))[0].payload == b"new"


def test_sequence_numbers_go_round() -> None:
    link = link_to(NativeDevice())
    link.hello()
    for jump in (0x7000, 0xE000, 0xFFFD):
        link._sequence = jump
        for at in range(5):
            assert link.echo(bytes([at])) == bytes([at])
    assert link._sequence == 3
    assert link.retries == 0


faults = st.builds(
    Faults,
    drop=st.floats(0, 0.004),
    damage=st.floats(0, 0.004),
    double=st.floats(0, 0.004),
    delay=st.floats(0, 0.01),
    delay_seconds=st.just(0.003),
)


@settings(max_examples=40, deadline=None)
@given(faults, st.integers(0, 2**32))
def test_a_bad_line_gives_the_right_answer_or_an_error(bad: Faults, seed: int) -> None:
    """Each run adds one to the arena: a request done twice, or a write that went astray, would show."""
    line = FaultyTransport(NativeDevice(), bad, seed)
    link = link_to(line, tries=25)
    data = bytes(i * 31 & 255 for i in range(WORK))
    try:
        link.hello()
        for repeat in range(3):
            link.paint(repeat)
            link.write(0, data)
            result = link.run(0, 2, limit=0.05)
            assert (result.us, result.cycles) == (2000, 250_014)
            assert link.read(0, WORK) == bytes(b + 2 & 255 for b in data)
    except LinkTimeout as error:
        assert "tries" in str(error)  # noqa: PT017 - allowed, as long as it is named


def test_bad_lines_are_survived() -> None:
    """The test above allows time-outs: here, with moderate faults, there must be none, and faults must happen."""
    faulted = 0
    for seed in range(10):
        line = FaultyTransport(NativeDevice(), Faults(0.0003, 0.0003, 0.0003, 0.001, 0.001), seed)
        link = link_to(line, tries=25)
        link.hello()
        link.write(0, bytes(WORK))
        link.run(0, 1)
        assert link.read(0, WORK) == b"\1" * WORK
        faulted += line.count
    assert faulted > 20


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=1500), st.builds(lambda p: b"\0" + p + b"\0", st.binary(max_size=60)))))
def test_noise_never_stops_the_device(noise: list[bytes]) -> None:
    device = NativeDevice()
    for piece in noise:
        device.write(piece)
    assert link_to(device).hello().board == "native"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.builds(Frame, st.integers(0, 255), st.integers(0, 3), st.binary(max_size=40)), max_size=8))
def test_sound_frames_with_any_content_never_stop_the_device(frames: list[Frame]) -> None:
    device = NativeDevice()
    exchange(device, Frame(Kind.HELLO, 0, b""), *frames)
    assert link_to(device).hello().board == "native"


@pytest.mark.skipif(not sanitizing_compiler(), reason="neither gcc nor clang is installed")
@pytest.mark.parametrize("seed", range(3))
def test_hostile_requests_stay_inside_their_memory(seed: int) -> None:
    """Thousands of sound frames with hostile content, and damaged ones, under the address sanitizer."""
    draw = random.Random(seed)
    edges = [0, 1, 4, 255, 1020, 1024, 2047, 2048, 2049, 4095, 4096, 8192, 2**31, 2**32 - 4, 2**32 - 1]
    stream = bytearray(Frame(Kind.HELLO, 0, b"").encode())
    for sequence in range(1, 4000):
        kind = draw.choice([*range(12), 255])
        usual = {Kind.TENSORS: 2, Kind.WRITE: 1, Kind.READ: 2, Kind.PAINT: 1, Kind.RUN: 8}.get(kind, 0)
        count = usual if draw.random() < 0.7 else draw.randrange(5)
        words = u32(*(draw.choice(edges) for _ in range(count)))
        extra = 0 if draw.random() < 0.7 and kind != Kind.WRITE else draw.choice([1, 3, 700, 1024 - len(words)])
        frame = bytearray(Frame(kind, sequence, words + draw.randbytes(extra)).encode())
        if draw.random() < 0.2:
            frame[draw.randrange(len(frame))] = draw.randrange(256)
        stream += frame
    stream += Frame(Kind.HELLO, 0, b"").encode()
    compiler = sanitizing_compiler()
    assert compiler
    answers = Deframer().feed(run_sanitized(compiler, program(arena=2048), bytes(stream)))
    assert answers[-1].kind == Kind.HELLO | ANSWER
    assert len(answers) > 2500
    assert {0, 1, 2, 3} <= {answer.status for answer in answers}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=64))
def test_no_write_leaves_the_arena(offset: int, length: int, data: bytes) -> None:
    device = NativeDevice(program(arena=2048))
    exchange(device, Frame(Kind.HELLO, 0, b""))
    status = exchange(device, Frame(Kind.WRITE, 1, struct.pack("<I", offset) + data))[0].status
    assert (status == 0) == (offset + len(data) <= 2048)
    answer = exchange(device, Frame(Kind.READ, 2, u32(offset, length)))[0]
    assert (answer.status == 0) == (length <= 1024 and offset + length <= 2048)
