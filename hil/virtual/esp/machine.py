"""A virtual ESP32-C3 as an object: its memories, and the native chip of `native/esp_*.c`."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from dataclasses import dataclass

from hil.errors import InfrastructureError, UsageError
from hil.image.elf import Segment, flat
from hil.virtual.chip.build import native_library, unicorn_library

RAN_TO_LIMIT, RAN_IDLE, RAN_DEAD = range(3)
FLASH_AT, CONSTANTS_AT, FLASH_BYTES = 0x4200_0000, 0x3C00_0000, 0x40_0000
RAM_AT, RAM_BYTES = 0x3FC8_0000, 0x6_0000
_CHUNK = 65536
# ESP_NOTE_* and the values of mcause.
_CAUSES = {
    1: "execution where there is no code",
    2: "an illegal instruction",
    3: "EBREAK without a debugger",
    5: "a read where nothing can be read",
    7: "a write where nothing can be written",
    8: "ECALL",
    11: "ECALL",
}


class _Clock(ctypes.Structure):
    """`EspClock` of esp_machine.c."""

    _fields_ = (
        ("cycles", ctypes.c_uint64),
        ("nanoseconds", ctypes.c_uint64),
        ("instructions", ctypes.c_uint64),
        ("hz", ctypes.c_uint64),
        ("pc", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
    )


@dataclass(frozen=True)
class State:
    """Virtual time, and where the core is. `cycles`: of the core, since power-on, waits included."""

    cycles: int
    nanoseconds: int
    instructions: int
    pc: int
    hz: int


def flash_image(segments: tuple[Segment, ...], name: str) -> bytes:
    """What a flasher would write, from the start of flash; raise `UsageError` naming `name` if that cannot be."""
    if not segments:
        raise UsageError(f"{name} has nothing to load")
    for segment in segments:
        start = segment.physical - FLASH_AT
        if start < 0 or start + len(segment.data) > FLASH_BYTES:
            raise UsageError(
                f"{name}: {len(segment.data)} bytes at {segment.physical:#010x} are not in flash "
                f"({FLASH_AT:#010x}, {FLASH_BYTES} bytes)"
            )
    return flat(segments, FLASH_AT)


class Esp32c3:
    """The chip, held in reset. Nothing happens except in `run`.

    `skip=False` runs polling loops in full instead of skipping them: slower, never idle, otherwise the same.
    """

    def __init__(self, flash: bytes, *, skip: bool = True) -> None:
        self._chip: int | None = None
        self.flash = mmap.mmap(-1, FLASH_BYTES)
        self._ram = mmap.mmap(-1, RAM_BYTES)
        self.flash[:] = flash.ljust(FLASH_BYTES, b"\xff")
        self._lib = _load()
        self._chip = self._lib.esp_open(_address(self.flash), _address(self._ram))
        if not self._chip:
            raise InfrastructureError("unicorn refused to be a virtual esp32c3")
        self._lib.esp_skip(self._chip, skip)
        self._buffer = ctypes.create_string_buffer(_CHUNK)

    def close(self) -> None:
        """Give the emulator's memory back. The object is of no use afterwards."""
        chip, self._chip = self._chip, None
        if chip:
            self._lib.esp_close(chip)

    def __del__(self) -> None:
        self.close()

    def power_cycle(self) -> None:
        """Off and on: RAM is lost, time begins at 0, flash stays. The core is held."""
        self._lib.esp_power(self._chip)

    def hold(self) -> None:
        """Reset, and do nothing."""
        self._lib.esp_hold(self._chip)

    def boot(self) -> bool:
        """Reset, and start what is in flash. False if nothing there can be started: then the core is held."""
        return bool(self._lib.esp_boot(self._chip))

    def run(self, cycles: int) -> int:
        """Go on for at most `cycles`; `RAN_TO_LIMIT`, `RAN_IDLE` (only a byte can wake it) or `RAN_DEAD`."""
        return int(self._lib.esp_run(self._chip, cycles))

    @property
    def room(self) -> int:
        """How many bytes `give` takes now."""
        return int(self._lib.esp_room(self._chip))

    def give(self, data: bytes) -> int:
        """Send `data` to UART0's RX at its baud rate; how many bytes there was room for."""
        return int(self._lib.esp_give(self._chip, data, len(data)))

    def take(self) -> bytes:
        """All bytes that have left UART0's TX."""
        parts = []
        while count := self._lib.esp_take(self._chip, self._buffer, _CHUNK):
            parts.append(self._buffer.raw[:count])
        return b"".join(parts)

    def state(self) -> State:
        """Where virtual time is."""
        clock = _Clock()
        self._lib.esp_clock(self._chip, ctypes.byref(clock))
        return State(clock.cycles, clock.nanoseconds, clock.instructions, clock.pc, clock.hz)

    def read(self, address: int, length: int) -> bytes | None:
        """Memory as it is; None if any of it is neither flash nor RAM."""
        for base, memory in ((FLASH_AT, self.flash), (CONSTANTS_AT, self.flash), (RAM_AT, self._ram)):
            if base <= address and address + length <= base + len(memory):
                return bytes(memory[address - base : address - base + length])
        return None

    def notes(self) -> Iterator[str]:
        """What happened that a person should know, once each."""
        note = (ctypes.c_uint32 * 3)()
        while self._lib.esp_next_note(self._chip, note):
            yield _describe(*note)


def _describe(kind: int, a: int, b: int) -> str:
    match kind:
        case 1:
            return f"exception at {a:#010x}: {_CAUSES.get(b, f'cause {b}')}"
        case 2:
            return f"lockup at {a:#010x}: an exception in its own handler; it stops until reset"
        case 3:
            return f"reset by a watchdog (of {a:#x}: 1 RTC, 2 super, 4 timer group 0) that firmware left running"
        case 4:
            return "UART0: receive overrun: bytes are lost"
        case 5:
            return "UART0: sent bytes are lost: the host does not take them"
        case _:
            return f"WFI before {a:#010x}: no interrupt will end it"


def _load() -> ctypes.CDLL:
    ctypes.CDLL(str(unicorn_library()), mode=ctypes.RTLD_GLOBAL)
    lib = ctypes.CDLL(str(native_library()))
    pointer, u8p, u32, u64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint64
    signatures = {
        "esp_open": (pointer, (pointer, pointer)),
        "esp_close": (None, (pointer,)),
        "esp_power": (None, (pointer,)),
        "esp_hold": (None, (pointer,)),
        "esp_boot": (ctypes.c_bool, (pointer,)),
        "esp_skip": (None, (pointer, ctypes.c_bool)),
        "esp_run": (ctypes.c_int, (pointer, u64)),
        "esp_room": (u32, (pointer,)),
        "esp_give": (u32, (pointer, u8p, u32)),
        "esp_take": (u32, (pointer, u8p, u32)),
        "esp_clock": (None, (pointer, ctypes.POINTER(_Clock))),
        "esp_next_note": (ctypes.c_bool, (pointer, ctypes.POINTER(u32))),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib


def _address(memory: mmap.mmap) -> int:
    """Where `memory` lies in this process. The chip's object keeps it alive for as long as the core."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
