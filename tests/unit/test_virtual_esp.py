"""The virtual ESP32-C3: what its core and devices do, its boot ROM's loader, and its port's two lines."""

from __future__ import annotations

import hashlib
import mmap
import struct
import zlib
from collections.abc import Callable

import pytest

from hil import board as boards
from hil.errors import UsageError
from hil.image.build import build
from hil.image.elf import Elf, Segment
from hil.link.framing import Deframer, Frame
from hil.link.messages import ANSWER, Kind, decode_time
from hil.virtual.esp.machine import FLASH_AT, RAM_AT, RAN_DEAD, RAN_IDLE, Esp32c3, flash_image
from hil.virtual.esp.rom import LONGEST, RomLoader
from hil.virtual.esp.serial_port import _Lines

MAGIC = bytes.fromhex("1d04dbae") * 2


def chip(*code: int, skip: bool = True) -> Esp32c3:
    """One that has started these instructions; those that fit in 16 bits are compressed ones."""
    made = Esp32c3(MAGIC + b"".join(c.to_bytes(4 if c & 3 == 3 else 2, "little") for c in code), skip=skip)
    assert made.boot()
    return made


@pytest.fixture(scope="module")
def firmware() -> bytes:
    """The firmware without a program: it boots and listens."""
    return flash_image(Elf(build(boards.load("esp32c3"), b"").elf).segments, "firmware")


# ---- core and devices ----


def test_firmware_comes_to_rest_at_160_mhz(firmware: bytes) -> None:
    found = Esp32c3(firmware)
    assert found.boot()
    assert found.run(1 << 24) == RAN_IDLE
    state = found.state()
    assert state.hz == 160_000_000
    assert FLASH_AT < state.pc < FLASH_AT + len(firmware)
    assert not list(found.notes())  # no watchdog bit


def test_skipping_loops_changes_no_count(firmware: bytes) -> None:
    """The device's own clock in its answer to a request that is on the wire from the start."""
    answers = []
    for skip in (True, False):
        found = Esp32c3(firmware, skip=skip)
        found.boot()
        found.give(bytes(100) + Frame(Kind.HELLO, 0, b"").encode() + Frame(Kind.TIME, 1, b"").encode())
        found.run(4_000_000)
        answers.append(found.take())
    assert answers[0] == answers[1]
    *_, answer = Deframer().feed(answers[0])
    assert answer.kind == Kind.TIME | ANSWER
    assert decode_time(answer.payload).us > 1000


def test_slices_change_no_count(firmware: bytes) -> None:
    whole, cut = Esp32c3(firmware), Esp32c3(firmware)
    for each in (whole, cut):
        each.boot()
    whole.run(60_000)
    while cut.state().cycles < 60_000:
        cut.run(min(777, 60_000 - cut.state().cycles))
    assert whole.state() == cut.state()


def test_watchdogs_bite_firmware_that_leaves_them() -> None:
    found = chip(0xA001)  # j .
    found.run(30_000_000)
    assert next(found.notes()).startswith("reset by a watchdog (of 0x7")
    assert found.state().nanoseconds >= 1_000_000_000


def test_an_exception_without_a_handler_locks_up_and_says_where() -> None:
    found = chip(0x0001, 0x0000)  # nop; an illegal instruction
    assert found.run(1000) == RAN_DEAD
    notes = list(found.notes())
    assert notes[0] == f"exception at {FLASH_AT + 10:#010x}: an illegal instruction"
    assert "lockup" in notes[1]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (0x00052503, "a read where nothing can be read"),  # lw a0, 0(a0)
        (0x00A52023, "a write where nothing can be written"),  # sw a0, 0(a0)
        (0x8502, "execution where there is no code"),  # jr a0
        (0x00A57553, "an illegal instruction"),  # fadd.s: there is no FPU
        (0x7FF01073, "an illegal instruction"),  # csrw 0x7ff, zero
    ],
)
def test_what_the_chip_has_not_is_an_exception(code: int, why: str) -> None:
    found = chip(code)
    assert found.run(1000) == RAN_DEAD
    assert why in next(found.notes())


def test_the_event_counter_counts_while_it_is_told_to() -> None:
    start, stop, read = 0x7E00D073, 0x7E105073, 0x7E202573  # csrwi mpcer, 1; csrwi mpcmr, 0; csrr a0, mpccr
    go = 0x7E10D073  # csrwi mpcmr, 1
    ram, store = 0x3FC805B7, 0x00A5A023  # lui a1, RAM; sw a0, 0(a1)
    for count in (0, 5, 40):
        found = chip(start, go, *[0x0001] * count, stop, 0x0001, read, ram, store, 0xA001)
        found.run(1000)
        data = found.read(RAM_AT, 4)
        assert data == (count + 1).to_bytes(4, "little")


def test_only_an_image_in_flash_is_taken() -> None:
    assert not Esp32c3(b"").boot()
    with pytest.raises(UsageError, match="not in flash"):
        flash_image((Segment(0x1000_0000, 0x1000_0000, 0, b"x"),), "other.elf")
    with pytest.raises(UsageError, match="nothing to load"):
        flash_image((), "empty.elf")


# ---- the loader ----

Ask = Callable[..., tuple[int, int, bytes]]


class Loader:
    """A loader, and how a host asks it."""

    def __init__(self) -> None:
        self.flash = mmap.mmap(-1, 1 << 20)
        self.flash[:] = b"\xff" * len(self.flash)
        self.rom = RomLoader(self.flash)

    def frames(self, data: bytes) -> list[bytes]:
        parts = [part for part in self.rom.receive(data).split(b"\xc0") if part]
        return [part.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb") for part in parts]

    def packet(self, command: int, data: bytes, check: int = 0) -> bytes:
        plain = struct.pack("<BBHI", 0, command, len(data), check) + data
        return b"\xc0" + plain.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"

    def ask(self, command: int, data: bytes = b"", check: int = 0) -> tuple[int, int, bytes]:
        """The answer's command, status and data."""
        answer = self.frames(self.packet(command, data, check))[0]
        assert answer[:1] == b"\x01"
        status = answer[-4:]
        return answer[1], status[1] if status[0] else 0, answer[8:-4]

    def block(self, command: int, sequence: int, data: bytes, *, spoil: int = 0) -> int:
        check = 0xEF
        for byte in data:
            check ^= byte
        return self.ask(command, struct.pack("<4I", len(data), sequence, 0, 0) + data, check ^ spoil)[1]


def begin(loader: Loader, command: int, size: int, at: int, block: int = 1024) -> int:
    return loader.ask(command, struct.pack("<4I", size, -(-size // block), block, at))[1]


def test_sync_is_answered_eight_times_with_a_value() -> None:
    answers = Loader().frames(Loader().packet(0x08, b"\x07\x07\x12\x20" + b"\x55" * 32))
    assert len(answers) == 8
    assert all(struct.unpack_from("<I", answer, 4)[0] for answer in answers)


def test_an_unknown_command_is_answered_with_the_one_before() -> None:
    loader = Loader()
    loader.ask(0x0A, struct.pack("<I", 0))
    assert loader.ask(0x77)[:2] == (0x0A, 5)
    assert loader.ask(0xD0)[:2] == (0x0A, 5)  # a stub's
    assert loader.ask(0x0A, b"\0")[1] == 5  # too short


def test_it_writes_as_flash_is_written() -> None:
    loader = Loader()
    loader.flash[4096:8192] = b"\0" * 4096
    loader.flash[8192:8200] = b"\x0f" * 8
    assert begin(loader, 0x02, 2048, 4096) == 0
    assert [loader.block(0x03, k, bytes([k + 1]) * 1024) for k in range(2)] == [0, 0]
    assert loader.flash[4096:6144] == b"\1" * 1024 + b"\2" * 1024
    assert loader.flash[6144:8192] == b"\xff" * 2048  # erased with its sector
    assert loader.flash[8192:8200] == b"\x0f" * 8


def test_what_cannot_be_written_is_refused() -> None:
    loader = Loader()
    assert loader.block(0x03, 0, b"x") == 6  # nothing begun
    assert begin(loader, 0x02, 4096, (1 << 20) - 1024) == 8
    assert begin(loader, 0x02, 1024, 0) == 0
    assert loader.block(0x03, 0, b"x" * 1024, spoil=1) == 7
    assert loader.block(0x03, 3, b"x" * 1024) == 6
    assert loader.block(0x11, 0, b"x" * 1024) == 6  # not what was begun
    assert loader.block(0x03, 0, b"x" * 1024) == 0
    assert loader.block(0x03, 0, b"y" * 1024) == 0  # sent again: nothing happens
    assert loader.flash[:1024] == b"x" * 1024
    assert loader.block(0x03, 1, b"x" * 1024) == 8


def test_what_is_deflated_is_inflated_and_no_more_than_was_announced() -> None:
    loader, data = Loader(), bytes(range(256)) * 40
    packed = zlib.compress(data)
    assert begin(loader, 0x10, len(data), 0) == 0
    assert loader.block(0x11, 0, packed[:20]) == 0
    assert loader.block(0x11, 1, packed[20:]) == 0
    assert loader.flash[: len(data)] == data
    assert loader.ask(0x13, struct.pack("<4I", 0, len(data), 0, 0))[2] == hashlib.md5(data).hexdigest().encode()
    assert begin(loader, 0x10, 1000, 0) == 0
    assert loader.block(0x11, 0, zlib.compress(b"x" * (1 << 24))) == 8
    assert begin(loader, 0x10, 1000, 0) == 0
    assert loader.block(0x11, 0, b"no stream") == 11


def test_noise_and_endless_frames_are_dropped() -> None:
    loader = Loader()
    assert loader.rom.receive(b"AT\r\n" + b"\xc0" * 5 + b"\xc0\x01short\xc0" + b"\xc0" + b"x" * (2 * LONGEST)) == b""
    assert loader.ask(0x0A, struct.pack("<I", 0x6000_0014))[:2] == (0x0A, 0)


def test_a_stub_is_answered_for_once_all_of_it_has_come() -> None:
    loader = Loader()
    assert loader.ask(0x06, struct.pack("<2I", 0, 0x4038_0000))[1] == 6
    loader.ask(0x05, struct.pack("<4I", 8, 2, 4, 0x4038_0000))
    assert loader.block(0x07, 0, b"abcd") == 0
    assert loader.ask(0x06, struct.pack("<2I", 0, 0x4038_0000))[1] == 6
    assert loader.block(0x07, 1, b"abcd") == 0
    assert loader.frames(loader.packet(0x06, struct.pack("<2I", 0, 0x4038_0000)))[-1] == b"OHAI"
    answer = loader.frames(loader.packet(0x13, struct.pack("<4I", 0, 16, 0, 0)))[0]
    assert answer[8:] == hashlib.md5(b"\xff" * 16).digest() + b"\0\0"
    loader.rom.reset()
    assert loader.ask(0xD0)[1] == 5


# ---- the lines ----


@pytest.mark.parametrize(
    ("steps", "resets"),
    [
        ("dR Dr d", [True]),  # the classic way into the loader
        ("dR r", [False]),  # a reset
        ("D R r d", []),  # what opening and closing a port does
        ("R r", [False]),
        ("dR D d r", [False]),  # DTR counts when RTS is let go
    ],
)
def test_dtr_and_rts_reset_as_two_transistors_do(steps: str, resets: list[bool]) -> None:
    found: list[bool] = []
    lines = _Lines(found.append)
    for step in steps.replace(" ", ""):
        if step in "dD":
            lines.dtr = step == "D"
        else:
            lines.rts = step == "R"
    assert found == resets


def test_closing_the_port_lets_the_chip_go() -> None:
    found: list[bool] = []
    lines = _Lines(found.append)
    lines.rts = True
    lines.let_go()
    assert found == [False]
