"""Outputs against the reference: bit for bit, or, for float32 edges, within the one declared tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

FLOAT_TOLERANCE = 1e-6
"""Relative; float32 tensors exist only at a model's edges, where `exp` and `log` differ in the last bit by library."""


@dataclass(frozen=True)
class Comparison:
    """How many elements were compared, how many differ, and by how much at most (in the tensor's own unit)."""

    elements: int = 0
    mismatches: int = 0
    max_abs_diff: float = 0.0

    def __add__(self, other: Self) -> Comparison:
        return Comparison(
            self.elements + other.elements,
            self.mismatches + other.mismatches,
            max(self.max_abs_diff, other.max_abs_diff),
        )


def compare(measured: npt.NDArray[np.generic], expected: npt.NDArray[np.generic]) -> Comparison:
    """Compare two tensors. Raises `ValueError` where shape or type differ: that is our mistake."""
    if measured.shape != expected.shape or measured.dtype != expected.dtype:
        raise ValueError(f"{measured.dtype}{measured.shape} against {expected.dtype}{expected.shape}")
    if measured.dtype != np.float32:
        difference = np.abs(measured.astype(np.int64) - expected.astype(np.int64))
        wrong = difference != 0
        return Comparison(measured.size, int(wrong.sum()), float(difference.max(initial=0)))
    got, want = measured.astype(np.float64), expected.astype(np.float64)
    same = (measured.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(got - want))
        # Not "gap > limit": a NaN on one side compares false and must count as a mismatch. An infinite `want` would
        # forgive every gap.
        wrong = ~(same | (np.isfinite(want) & (gap <= FLOAT_TOLERANCE * np.abs(want))))
    finite = gap[np.isfinite(gap)]
    largest = float(finite.max(initial=0.0)) if np.isfinite(gap).all() else float(np.finfo(np.float64).max)
    return Comparison(measured.size, int(wrong.sum()), largest)
