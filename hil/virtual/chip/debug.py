"""What a debugger finds in a virtual microcontroller: its buses with ROM tables and component ids, and its debug ports.

Numbers of components: ARM DDI 0419 and ARMv8-M ARM, appendix on CoreSight ids; of the chips: RP2040 data sheet 2.3.4,
RP2350 data sheet 3.5, nRF52840 Product Specification 4.8. Where a core's own registers are concerned `native/debug.c`
answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from hil.virtual.chip.board import Microcontroller
from hil.virtual.swd import AccessPort, DebugPort, DebugPort1, DebugPort2, DebugPort3, MemoryPort, Wire

CORES = 2
_ROM_TABLE = 0xE00F_F000
_PRESENT = 3


def _ids(base: int, component: int, peripheral: int, archid: int | None = None) -> dict[int, int]:
    """The id registers of the component at `base`; `archid`: of a CoreSight component (class 9)."""
    words = {base + 0xFD0: peripheral >> 32 & 0xFF}
    for byte in range(4):
        words[base + 0xFE0 + 4 * byte] = peripheral >> 8 * byte & 0xFF
        words[base + 0xFF0 + 4 * byte] = component >> 8 * byte & 0xFF
    if archid is not None:
        words[base + 0xFBC] = 0x4770_0000 | archid
    return words


_CLASS_1, _CLASS_9, _GENERIC = 0xB105_100D, 0xB105_900D, 0xB105_E00D
_SCS, _DWT, _BPU = 0xE000_E000, 0xE000_1000, 0xE000_2000


def _table(base: int, *components: int) -> dict[int, int]:
    words = {base + 4 * index: (at - base) & 0xFFFF_F000 | _PRESENT for index, at in enumerate(components)}
    return {**words, base + 4 * len(components): 0}


def _v6m() -> dict[int, int]:
    return {
        **_table(_ROM_TABLE, _SCS, _DWT, _BPU),
        **_ids(_ROM_TABLE, _CLASS_1, 0x4_000B_B4C0),
        _ROM_TABLE + 0xFCC: 1,  # MEMTYPE: memory is on this bus too
        **_ids(_SCS, _GENERIC, 0x4_000B_B008),
        **_ids(_DWT, _GENERIC, 0x4_000B_B00A),
        _DWT: 0,  # no comparators
        **_ids(_BPU, _GENERIC, 0x4_000B_B00B),
    }


def _v7m() -> dict[int, int]:
    return {
        **_table(_ROM_TABLE, _SCS, _DWT, _BPU),
        **_ids(_ROM_TABLE, _CLASS_1, 0x4_000B_B4C4),
        _ROM_TABLE + 0xFCC: 1,
        **_ids(_SCS, _GENERIC, 0x4_000B_B00C),
        0xE000_EF40: 0x1011_0021,  # MVFR0, MVFR1: a floating-point unit of single precision
        0xE000_EF44: 0x1100_0011,
        **_ids(_DWT, _GENERIC, 0x4_003B_B002),
        **_ids(_BPU, _GENERIC, 0x4_002B_B003),
    }


def _v8m() -> dict[int, int]:
    return {
        **_table(_ROM_TABLE, _SCS, _DWT, _BPU),
        **_ids(_ROM_TABLE, _CLASS_9, 0x4_000B_B4C9, 0x0AF7),
        **_ids(_SCS, _CLASS_9, 0x4_000B_BD21, 0x2A04),
        **_ids(_DWT, _CLASS_9, 0x4_000B_BD21, 0x1A02),
        **_ids(_BPU, _CLASS_9, 0x4_000B_BD21, 0x1A03),
    }


class CoreBus:
    """Memory and registers as one core's access port sees them."""

    def __init__(self, board: Microcontroller, core: int, fixed: dict[int, int]) -> None:
        self._board, self._core, self._fixed = board, core, fixed

    def read(self, address: int, length: int) -> bytes | None:
        if (found := self._board.read(address, length)) is not None:
            return found
        words = []
        for at in range(address & ~3, address + length, 4):
            word = self._fixed.get(at)
            if word is None and (word := self._board.debug_read(self._core, at)) is None:
                if not self._private(at):
                    return None
                word = 0
            words.append(word.to_bytes(4, "little"))
        skip = address & 3
        return b"".join(words)[skip : skip + length]

    def write(self, address: int, data: bytes) -> bool:
        if self._board.write(address, data):
            return True
        for at in range(0, len(data), 4):
            part = data[at : at + 4]
            if len(part) < 4:
                part *= 4 // len(part)  # the bus copies narrow writes to all lanes (RP2040 data sheet 2.1.4)
            word = int.from_bytes(part, "little")
            known = self._board.debug_write(self._core, (address + at) & ~3, word)
            if not known and not self._private(address + at):
                return False
        return True

    @staticmethod
    def _private(address: int) -> bool:
        """Whether the core answers for every address there, with zeros if need be."""
        return 0xE000_0000 <= address < 0xE010_0000


class ControlPort:
    """CTRL-AP: resets the chip, erases all of it, says whether its other port is locked, which it never is here."""

    def __init__(self, board: Microcontroller) -> None:
        self._board = board
        self._reset = False

    def read(self, register: int, count: int) -> list[int]:
        """`count` times RESET, APPROTECTSTATUS, IDR, or a register that reads as zero: erasing is over at once."""
        return [{0x00: int(self._reset), 0x0C: 1, 0xFC: 0x0288_0000}.get(register, 0)] * count

    def write(self, register: int, values: Sequence[int]) -> None:
        """Likewise, written."""
        for value in values:
            if register == 0x00:
                if self._reset and not value:
                    self._board.reset()
                self._reset = bool(value)
            elif register == 0x04 and value == 1:
                for address, word in ((_NVMC_CONFIG, 2), (_NVMC_ERASEALL, 1), (_NVMC_CONFIG, 0)):
                    self._board.debug_write(0, address, word)


_NVMC_CONFIG, _NVMC_ERASEALL = 0x4001_E504, 0x4001_E50C
_AHB_WRAP = 0x1000
"""Of the address that pyOCD takes an AHB-AP of such an IDR to count up to."""


def wire(board: Microcontroller) -> Wire:
    """The debug wire of `board`."""
    ports: list[DebugPort] = []
    if board.chip.multidrop:
        for core, target in enumerate(board.chip.multidrop):
            bus = MemoryPort(CoreBus(board, core, _v6m()), 0x0477_0031, _ROM_TABLE | _PRESENT)
            ports.append(DebugPort2(0x0BC1_2477, target, bus))
        return Wire(ports)
    if board.chip.architecture == "v7m":
        memory = MemoryPort(CoreBus(board, 0, _v7m()), 0x2477_0011, _ROM_TABLE | _PRESENT, wrap=_AHB_WRAP)
        by_number: list[AccessPort] = [memory]
        if board.chip.control_port:
            by_number.append(ControlPort(board))
        return Wire([DebugPort1(0x2BA0_1477, by_number)])
    places = (0x2000, 0x4000)
    words = {**_table(0, *places), **_ids(0, _CLASS_9, 0x0_0009_3C04, 0x0AF7)}
    for place in places:
        words |= _ids(place, _CLASS_9, 0x4_000B_B9E3, 0x0A17)
    found = {
        place: MemoryPort(CoreBus(board, core, _v8m()), 0x3477_0008, _ROM_TABLE | _PRESENT)
        for core, place in enumerate(places)
    }
    return Wire([DebugPort3(0x4C01_3477, found, words)])
