"""The native library as Python sees it: types and signatures of `native/machine.c`, and the meaning of its notes."""

from __future__ import annotations

import ctypes
from pathlib import Path

from hil.virtual.chip.build import unicorn_library

RAN_TO_LIMIT, RAN_IDLE, RAN_DEAD = range(3)
NEVER = (1 << 64) - 1
PORTS = {"uart": 1, "ethernet": 2}
"""The network ports of virtual microcontrollers, by the number that `machine_wire` takes."""
CORES = 2


class ClockStruct(ctypes.Structure):
    """`Clock` of machine.c."""

    _fields_ = (
        ("cycles", ctypes.c_uint64),
        ("nanoseconds", ctypes.c_uint64),
        ("instructions", ctypes.c_uint64 * CORES),
        ("pc", ctypes.c_uint32 * CORES),
        ("state", ctypes.c_uint32 * CORES),
        ("hz", ctypes.c_uint64),
    )


def load(path: Path) -> ctypes.CDLL:
    """Load the library at `path` with unicorn's symbols behind it."""
    ctypes.CDLL(str(unicorn_library()), mode=ctypes.RTLD_GLOBAL)
    lib = ctypes.CDLL(str(path))
    pointer, u8p, u32, u64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint64
    signatures = {
        "machine_open": (pointer, (u8p, pointer, pointer, pointer)),
        "machine_close": (None, (pointer,)),
        "machine_power": (None, (pointer, u64)),
        "machine_skip": (None, (pointer, ctypes.c_bool)),
        "machine_run": (ctypes.c_int, (pointer, ctypes.c_uint64)),
        "machine_until": (ctypes.c_int, (pointer, u64, ctypes.c_bool)),
        "machine_rest": (None, (pointer, u64)),
        "machine_wire": (None, (pointer, u32, u64, u64)),
        "machine_slow": (None, (pointer, u64, u64)),
        "machine_world": (u64, (pointer,)),
        "machine_soonest": (u64, (pointer,)),
        "machine_deliver": (ctypes.c_bool, (pointer, u64, u8p, u32)),
        "machine_collect": (u32, (pointer, u8p, u32, ctypes.POINTER(u64))),
        "machine_lost": (u64, (pointer,)),
        "machine_give": (u32, (pointer, u8p, u32)),
        "machine_take": (u32, (pointer, u8p, u32)),
        "machine_room": (u32, (pointer,)),
        "machine_clock": (None, (pointer, ctypes.POINTER(ClockStruct))),
        "machine_debug_read": (ctypes.c_bool, (pointer, u32, u32, ctypes.POINTER(u32))),
        "machine_debug_write": (ctypes.c_bool, (pointer, u32, u32, u32)),
        "machine_wrote": (None, (pointer, u32, u32)),
        "machine_note": (ctypes.c_bool, (pointer, ctypes.POINTER(u32))),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib


# CAUSE_* in machine.h.
_CAUSES = {
    1: "a read where nothing can be read",
    2: "a write where nothing can be written",
    3: "execution where there is no code",
    4: "an undefined instruction",
    5: "BKPT without a debugger",
    6: "an unaligned access",
    7: "SVC where it cannot be taken",
    8: "a branch to an even address",
}
# REFUSED_* in w5500.c.
_REFUSED = {
    1: "an SPI frame of fixed length is not modelled",
    2: "access to a block that is not modelled or has no memory",
    3: "a socket command that is not modelled",
    4: "only a UDP socket without options is modelled",
    5: "a memory size that cannot be",
    6: "SEND_MAC without a datagram that can be sent now",
    7: "a reset of less than 500 us",
    8: "a datagram to others than those that the frame in it names",
}
_RESTARTS = {0: "SYSRESETREQ", 1: "the watchdog ran out", 2: "the watchdog was triggered"}


def describe(kind: int, core: int, a: int, b: int) -> str:
    """The line that note (`kind`, `core`, `a`, `b`) stands for; NOTE_* in machine.h."""
    match kind:
        case 1:
            return f"core {core}: HardFault at {a:#010x}: {_CAUSES.get(b, f'cause {b}')}"
        case 2:
            return f"core {core}: lockup at {a:#010x} (LR {b:#010x}): it stops until reset"
        case 3:
            return f"reset of the chip: {_RESTARTS.get(a, str(a))}"
        case 4:
            return f"core {core}: enables interrupts (lines {b:#x}), which are not modelled and never come"
        case 5:
            return f"core {core}: WFI before {a:#010x}: no interrupt will end it"
        case 6:
            return "clk_sys has no source: all cores stop"
        case 7:
            return f"core {core}: reads interpolator register {a:#x}, which is not modelled"
        case 8:
            return f"UART{a}: receive overrun: bytes are lost"
        case 9:
            return "UART0: sent bytes are lost: the host does not take them"
        case 11:
            return f"SPI0: only mode 3 with 8 bits is modelled, not SSPCR0 {a:#x}, SSPCR1 {b:#x}"
        case 12:
            return f"W5500: {_REFUSED.get(a, f'refusal {a}')} ({b:#x})"
        case 13:
            return f"W5500: its receive memory is full: a datagram of {a} bytes is lost"
        case 14:
            return f"core {core}: writes {a:#x} to UART0 while it still sends what came before: it is lost"
        case 15:
            return f"core {core}: flash of {b} bytes at offset {a:#x} cannot be erased or programmed so"
        case 16:
            return f"{a} Hz is too fast for {b} wait states of its flash, or for its supply"
        case _:
            return "network: bytes that are no frame, or that no pin leads to, are lost"
