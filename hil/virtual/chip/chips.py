"""The microcontrollers that there are virtual ones of, as Python must know them; `native/chip_*.c` know the rest."""

from __future__ import annotations

from dataclasses import dataclass

from hil.errors import UsageError


@dataclass(frozen=True)
class Chip:
    """Memories as the address map has them, and what the boot ROM is compiled for.

    `bootsel`: addresses of the ROM at which it has found nothing to start; `wanted`: what it looked for. `multidrop`:
    TARGETSEL of each core's debug port where several are on the wire; empty where there is one. `words`: what is in the
    ROM of a chip without boot ROM, by address. `architecture` of the core: v6m, v7m, v8m. `control_port`: whether it
    has Nordic's access port that erases all of a locked chip.
    """

    name: str
    cpu: str
    rom_bytes: int
    flash_bytes: int
    ram_bytes: int
    flash_windows: tuple[int, ...]
    architecture: str
    bootsel: range = range(0)
    wanted: str = ""
    multidrop: tuple[int, ...] = ()
    rom_base: int = 0
    words: tuple[tuple[int, int], ...] = ()
    control_port: bool = False

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
        architecture="v6m",
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
        architecture="v8m",
        bootsel=range(0x40, 0x48),
        wanted="no block that describes an Arm image in the first 4 KiB of flash",
    ),
    Chip(
        name="nrf52840",
        cpu="cortex_m4",
        rom_bytes=0x1000,
        flash_bytes=0x10_0000,
        ram_bytes=0x4_0000,
        flash_windows=(0,),
        architecture="v7m",
        control_port=True,
        rom_base=0x1000_0000,
        words=(  # FICR (Product Specification, 4.4): pages, device id; part, variant AAD0, package QI; KiB of memory
            *((0x1000_0010, 4096), (0x1000_0014, 256), (0x1000_0060, 0x6869_6C00), (0x1000_0064, 0x6472_696E)),
            *((0x1000_0100, 0x5_2840), (0x1000_0104, 0x4141_4430), (0x1000_0108, 0x2004)),
            *((0x1000_010C, 256), (0x1000_0110, 1024)),
        ),
    ),
    Chip(
        name="stm32l4r5",
        cpu="cortex_m4",
        rom_bytes=0x1000,
        flash_bytes=0x20_0000,
        ram_bytes=0xA_0000,
        flash_windows=(0x0800_0000, 0),  # RM0432 2.6
        architecture="v7m",
        rom_base=0x1FFF_7000,
        words=(  # RM0432, 58: a unique id, and KiB of flash
            *((0x1FFF_7590, 0x0069_0068), (0x1FFF_7594, 0x3031_6C69), (0x1FFF_7598, 0x3039_3837)),
            (0x1FFF_75E0, 2048),
        ),
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
