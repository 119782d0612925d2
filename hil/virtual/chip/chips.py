"""The microcontrollers that there are virtual ones of, as Python must know them; `native/chip_*.c` know the rest."""

from __future__ import annotations

from dataclasses import dataclass

from hil.errors import UsageError


@dataclass(frozen=True)
class Chip:
    """Memories as the address map has them, and what the boot ROM is compiled for.

    `bootsel`: addresses of the ROM at which it has found nothing to start; `wanted`: what it looked for. `multidrop`:
    TARGETSEL of each core's debug port where several are on the wire; empty where there is one.
    """

    name: str
    cpu: str
    rom_bytes: int
    flash_bytes: int
    ram_bytes: int
    flash_windows: tuple[int, ...]
    bootsel: range
    wanted: str
    multidrop: tuple[int, ...] = ()

    @property
    def flash_base(self) -> int:
        return self.flash_windows[0]


RAM_BASE = 0x2000_0000

_CHIPS = (
    Chip(
        name="rp2040",
        cpu="cortex_m0plus",
        rom_bytes=0x4000,
        flash_bytes=0x20_0000,
        ram_bytes=0x4_2000,
        flash_windows=(0x1000_0000, 0x1100_0000, 0x1200_0000, 0x1300_0000),  # data sheet 2.6.3
        bootsel=range(0x40, 0x48),
        wanted="no second-stage boot with a valid checksum at the start of flash",
        multidrop=(0x0100_2927, 0x1100_2927),
    ),
    Chip(
        name="rp2350",
        cpu="cortex_m33",
        rom_bytes=0x8000,
        flash_bytes=0x40_0000,
        ram_bytes=0x8_2000,
        flash_windows=(0x1000_0000, 0x1400_0000, 0x1C00_0000),  # data sheet 4.4
        bootsel=range(0x40, 0x48),
        wanted="no block that describes an Arm image in the first 4 KiB of flash",
    ),
)


def names() -> tuple[str, ...]:
    """Every chip's name."""
    return tuple(chip.name for chip in _CHIPS)


def find(name: str) -> Chip:
    """The chip called `name`. Raises `UsageError` for one that is not there."""
    for chip in _CHIPS:
        if chip.name == name:
            return chip
    raise UsageError(f"there is no virtual {name}; there are: {', '.join(names())}")
