"""Values with their units, as people read them, the same in terminal and page."""

from __future__ import annotations

from hil.report.terminal import duration, size


def value_of(value: float, unit: str) -> str:
    """'12.3 ms' of microseconds, '4.3 KiB' of bytes, '1 234 567 cycles' of what is counted."""
    if unit == "us":
        return duration(value)
    if unit == "bytes":
        return size(value)
    return f"{grouped(value)} {unit}"


def grouped(value: float) -> str:
    """A number in groups of three digits, which do not come apart at the end of a line."""
    text = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}"
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}")
