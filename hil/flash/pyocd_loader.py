"""A loader of ours (`hil.flash.loader`) as flash of pyOCD's generic target. For the process that loads pyOCD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyocd.core.memory_map import FlashRegion, RamRegion


def install(memory: Any, *, algorithm: dict[str, Any], flash: Sequence[int], ram: Sequence[int], sector: int) -> None:
    """Put flash, which `algorithm` programs, and RAM into the map of a target that has what all Cortex-M have."""
    for start in (flash[0], ram[0]):
        if (region := memory.get_region_for_address(start)) is not None:
            memory.remove_region(region)  # the whole half gigabyte that may hold such memory
    memory.add_region(
        FlashRegion(
            name="flash",
            start=flash[0],
            length=flash[1],
            sector_size=sector,
            page_size=sector,
            is_boot_memory=True,
            algo=algorithm,
        )
    )
    memory.add_region(RamRegion(name="ram", start=ram[0], length=ram[1]))
