"""A virtual microcontroller as an object: memories, and the native machine with its unicorn cores."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from hil.errors import InfrastructureError, UsageError
from hil.image.elf import Segment, flat
from hil.virtual.chip import native
from hil.virtual.chip.build import boot_rom, native_library
from hil.virtual.chip.chips import RAM_BASE, Chip
from hil.wire import Wire

_CHUNK = 65536


@dataclass(frozen=True)
class State:
    """Virtual time, and where the cores are. `cycles`: clk_sys cycles since power-on; `hz`: clk_sys now."""

    cycles: int
    nanoseconds: int
    instructions: tuple[int, ...]
    pc: tuple[int, ...]
    hz: int


def flash_image(chip: Chip, segments: tuple[Segment, ...], name: str) -> bytes:
    """What a flasher would write, from the start of flash; raise `UsageError` naming `name` if that cannot be."""
    if not segments:
        raise UsageError(f"{name} has nothing to load")
    for segment in segments:
        start = segment.physical - chip.flash_base
        if start < 0 or start + len(segment.data) > chip.flash_bytes:
            raise UsageError(
                f"{name}: {len(segment.data)} bytes at {segment.physical:#010x} are not in flash "
                f"({chip.flash_base:#010x}, {chip.flash_bytes} bytes)"
            )
    return flat(segments, chip.flash_base)


class Microcontroller:
    """One chip with `flash` at the start of its flash. Nothing happens except in `run`.

    `skip=False` runs polling loops in full instead of skipping them: slower, never idle, otherwise the same.
    """

    def __init__(self, chip: Chip, flash: bytes, *, skip: bool = True) -> None:
        self._machine: int | None = None
        self.chip = chip
        self._rom = mmap.mmap(-1, chip.rom_bytes)
        self._flash = mmap.mmap(-1, chip.flash_bytes)
        self._ram = mmap.mmap(-1, chip.ram_bytes)
        self._rom[:] = boot_rom(chip)
        self._flash[:] = flash.ljust(chip.flash_bytes, b"\xff")
        self._lib = native.load(native_library())
        memories = (_address(self._rom), _address(self._flash), _address(self._ram))
        self._machine = self._lib.machine_open(chip.name.encode(), *memories)
        if not self._machine:
            raise InfrastructureError(f"unicorn refused to be a virtual {chip.name}")
        self._lib.machine_skip(self._machine, skip)
        self._buffer = ctypes.create_string_buffer(_CHUNK)

    def close(self) -> None:
        """Give the emulator's memory back. The object is of no use afterwards."""
        machine, self._machine = self._machine, None
        if machine:
            self._lib.machine_close(machine)

    def __del__(self) -> None:
        self.close()

    def power_cycle(self, moment: int = 0) -> None:
        """Off and on: RAM is lost, its time begins at 0, flash stays. `moment`: of the time that boards share."""
        self._lib.machine_power(self._machine, moment)

    def run(self, cycles: int) -> int:
        """Go on for at most `cycles`; `native.RAN_TO_LIMIT`, `RAN_IDLE` (only a byte can wake it) or `RAN_DEAD`."""
        return int(self._lib.machine_run(self._machine, cycles))

    # ---- as one of several boards on a network: times are picoseconds that all of them share ----

    def plug_in(self, wire: Wire) -> None:
        """Lead `wire` into its network port. Raises `UsageError` if it has none for it."""
        if wire.port not in native.PORTS:
            raise UsageError(f"a virtual {self.chip.name} has no network port {wire.port!r} for the wire {wire.name}")
        byte = Fraction(wire.bits_per_byte * 10**12) / Fraction(wire.bits_per_second).limit_denominator(1000)
        self._lib.machine_wire(self._machine, native.PORTS[wire.port], byte.numerator, byte.denominator)

    def run_until(self, moment: int, *, passing: bool = False) -> int:
        """Go on up to `moment` as `run` does; `passing`: time passes up to it even if nothing else happens."""
        return int(self._lib.machine_until(self._machine, moment, passing))

    def rest(self, moment: int) -> None:
        """Time passes up to `moment`, and finds the board, which is idle, in the state in which it is."""
        self._lib.machine_rest(self._machine, moment)

    @property
    def moment(self) -> int:
        """Where it is in the time that all boards share."""
        return int(self._lib.machine_world(self._machine))

    @property
    def soonest(self) -> int:
        """Before this moment no frame is whole at the switch but those that `collect` gives now."""
        return int(self._lib.machine_soonest(self._machine))

    def collect(self) -> list[tuple[int, bytes]]:
        """The frames that it has sent since, and when each was whole at the switch."""
        found = []
        moment = ctypes.c_uint64()
        while count := self._lib.machine_collect(self._machine, self._buffer, _CHUNK, ctypes.byref(moment)):
            found.append((moment.value, self._buffer.raw[:count]))
        return found

    def deliver(self, moment: int, frame: bytes) -> bool:
        """A frame that begins on its line at `moment`, or behind what is on it. False if too many wait already."""
        return bool(self._lib.machine_deliver(self._machine, moment, frame, len(frame)))

    def slow(self, factor: float) -> None:
        """Let each cycle take `factor` times as long from now on, 0.001 to 1000."""
        exact = Fraction(factor).limit_denominator(1000)
        self._lib.machine_slow(self._machine, exact.numerator, exact.denominator)

    @property
    def lost(self) -> int:
        """Bytes that it sent to the network outside of frames."""
        return int(self._lib.machine_lost(self._machine))

    @property
    def room(self) -> int:
        """How many bytes `give` takes now."""
        return int(self._lib.machine_room(self._machine))

    def give(self, data: bytes) -> int:
        """Send `data` to UART0's RX at its baud rate; how many bytes there was room for."""
        return int(self._lib.machine_give(self._machine, data, len(data)))

    def take(self) -> bytes:
        """All bytes that have left UART0's TX."""
        parts = []
        while count := self._lib.machine_take(self._machine, self._buffer, _CHUNK):
            parts.append(self._buffer.raw[:count])
        return b"".join(parts)

    def state(self) -> State:
        """Where virtual time is."""
        clock = native.ClockStruct()
        self._lib.machine_clock(self._machine, ctypes.byref(clock))
        return State(clock.cycles, clock.nanoseconds, tuple(clock.instructions), tuple(clock.pc), clock.hz)

    def read(self, address: int, length: int) -> bytes | None:
        """Memory as it is; None if any of it is not ROM, flash or RAM."""
        flash = ((window, self._flash) for window in self.chip.flash_windows)
        for base, memory in ((self.chip.rom_base, self._rom), (RAM_BASE, self._ram), *flash):
            if base <= address and address + length <= base + len(memory):
                return bytes(memory[address - base : address - base + length])
        return None

    # ---- as a debugger sees it, between two runs ----

    def write(self, address: int, data: bytes) -> bool:
        """Change RAM; False if any of it is elsewhere."""
        at = address - RAM_BASE
        if at < 0 or at + len(data) > len(self._ram):
            return False
        self._ram[at : at + len(data)] = data
        self._lib.machine_wrote(self._machine, address, len(data))
        return True

    def flash_pages(self, offset: int, data: bytes) -> None:
        """Put `data` into flash as if it had been erased there. Raises `UsageError` if it does not fit."""
        if offset < 0 or offset + len(data) > len(self._flash):
            raise UsageError(f"{len(data)} bytes at offset {offset:#x} are not in the flash of a {self.chip.name}")
        self._flash[offset : offset + len(data)] = data
        self._lib.machine_wrote(self._machine, self.chip.flash_base + offset, len(data))

    def debug_read(self, core: int, address: int) -> int | None:
        """A register as `core` sees it, debug registers among them; None where there is none."""
        value = ctypes.c_uint32()
        if not self._lib.machine_debug_read(self._machine, core, address, ctypes.byref(value)):
            return None
        return value.value

    def debug_write(self, core: int, address: int, value: int) -> bool:
        """Write a register; False where there is none."""
        return bool(self._lib.machine_debug_write(self._machine, core, address, value))

    def reset(self) -> None:
        """Reset the chip: RAM and flash stay, time goes on."""
        self.debug_write(0, 0xE000_ED0C, 0x05FA_0004)

    def bootsel(self) -> None:
        """Power cycle with the BOOTSEL button held: the ROM does not look at flash."""
        self.power_cycle()
        for address, value in (
            (0xE000_EDF0, 0xA05F_0003),  # DHCSR: halt
            (0xE000_EDF8, self.chip.bootsel.start),  # DCRDR
            (0xE000_EDF4, 0x0001_000F),  # DCRSR: to PC
            (0xE000_EDF0, 0xA05F_0000),
        ):
            self.debug_write(0, address, value)

    def notes(self) -> Iterator[str]:
        """What happened that a person should know, once each."""
        note = (ctypes.c_uint32 * 4)()
        while self._lib.machine_note(self._machine, note):
            yield native.describe(*note)


def _address(memory: mmap.mmap) -> int:
    """Where `memory` lies in this process. The Microcontroller keeps it alive for as long as the cores."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
