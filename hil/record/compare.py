"""What changed: a measurement held against what it was before, so that noise is told from a regression.

What is counted is compared exactly. Times of hardware have noise: they are compared by a test on their samples, and
only from a smallest effect on that matters (`hil.record.policy`). How often the verdict is wrong, on noise of several
kinds, is measured by `benchmarks/regression_rates.py`; `docs/measurement.md` has the rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from hil.record import noise
from hil.record.measurement import MEASURES, Measurement
from hil.record.policy import Policy

Kind = Literal["same", "better", "worse", "changed", "new"]

_EXACT_TIMER = 1.0
"""Microseconds: a counted time may differ by one, by where in a microsecond the inference began."""


@dataclass(frozen=True)
class Reference:
    """What a measurement is held against: its value in one run, or in several good ones, oldest first.

    `origin` says where it is from. `model_sha256` and `inputs` (how many sets; 0: not known) are those of the newest.
    """

    measurements: tuple[Measurement, ...]
    origin: str
    model_sha256: str = ""
    inputs: int = 0


@dataclass(frozen=True)
class Change:
    """What became of a measurement. `before` is None where it is new.

    `ratio`: after over before; None where there was nothing, or 0. `kind`: "changed" is a difference that is neither
    good nor bad, or cannot be told from noise. `why` names the method and its numbers,
    `since` the first bad run of the history and its revision, where that was looked for and found.
    """

    name: str
    before: Measurement | None
    after: Measurement
    ratio: float | None
    kind: Kind
    why: str
    since: str = ""

    @property
    def effect(self) -> float:
        """How large it is, to sort by: the share by which the larger value is above the smaller."""
        if self.before is None:
            return 0.0
        return _effect(self.before.value, self.after.value)

    @property
    def percent(self) -> str:
        """'+6.1 %'; '' where nothing can be divided."""
        return "" if self.ratio is None else f"{100 * (self.ratio - 1):+.3g} %"

    def __str__(self) -> str:
        """'latency worse: 10234 us -> 10858 us, +6.1 % (Mann-Whitney p = 0.003)'."""
        unit = MEASURES[self.name].unit
        if self.before is None:
            return f"{self.name} new: {self.after.value:.10g} {unit} ({self.why})"
        share = f", {self.percent}" if self.percent else ""
        values = f"{self.before.value:.10g} {unit} -> {self.after.value:.10g} {unit}"
        since = f", since {self.since}" if self.since else ""
        return f"{self.name} {self.kind}: {values}{share} ({self.why}){since}"


def compare(name: str, before: Reference | Sequence[Measurement], after: Measurement, policy: Policy) -> Change:
    """Hold a measurement against those before it, oldest first; without any it is new.

    Counted values are held against the newest, times against all of them.
    """
    values = before.measurements if isinstance(before, Reference) else tuple(before)
    if not values:
        return Change(name, None, after, None, "new", "nothing to compare with")
    if after.exact and values[-1].exact:
        return _counted(name, values[-1], after, policy)
    return _timed(name, values, after, policy)


def change_record(change: Change) -> dict[str, Any]:
    """A change as JSON objects hold it."""
    return {
        "name": change.name,
        "unit": MEASURES[change.name].unit,
        "kind": change.kind,
        "before": None if change.before is None else change.before.value,
        "after": change.after.value,
        "ratio": None if change.ratio is None else round(change.ratio, 6),
        "why": change.why,
        "since": change.since or None,
    }


def worst_first(changes: Iterable[Change]) -> list[Change]:
    """Regressions first, the largest at the top; what stayed the same last."""
    order = ("worse", "changed", "new", "better", "same")
    return sorted(changes, key=lambda change: (order.index(change.kind), -change.effect, change.name))


def _counted(name: str, before: Measurement, after: Measurement, policy: Policy) -> Change:
    if before.value == after.value:
        return _change(name, before, after, "same", "counted")
    if MEASURES[name].unit == "us" and abs(after.value - before.value) <= _EXACT_TIMER:
        return _change(name, before, after, "same", "counted; the timer's step is 1 us")
    if _effect(before.value, after.value) < policy.counted:
        return _change(name, before, after, "same", f"counted; less than {100 * policy.counted:g} %")
    return _change(name, before, after, _side(name, before.value, after.value), "counted")


def _timed(name: str, values: Sequence[Measurement], after: Measurement, policy: Policy) -> Change:
    medians = [one.value for one in values]
    pooled = tuple(sample for one in values for sample in one.samples)
    before = Measurement(name, median(medians), False, pooled)
    if _effect(before.value, after.value) < policy.least:
        return _change(name, before, after, "same", f"less than {100 * policy.least:g} %")
    found = noise.different(medians, pooled, after, policy)
    if found.different is None:
        return _change(name, before, after, "changed", found.why)
    return _change(
        name, before, after, _side(name, before.value, after.value) if found.different else "same", found.why
    )


def _change(name: str, before: Measurement, after: Measurement, kind: Kind, why: str) -> Change:
    ratio = after.value / before.value if before.value else None
    return Change(name, before, after, ratio, kind, why)


def _side(name: str, before: float, after: float) -> Kind:
    """Whether a difference is to the good."""
    good = MEASURES[name].better
    if good == "same":
        return "changed"
    return "better" if (after < before) == (good == "lower") else "worse"


def _effect(before: float, after: float) -> float:
    """The share of the smaller by which they differ: the same both ways, so that mending counts as much as breaking."""
    if before == after:
        return 0.0
    smaller = min(abs(before), abs(after))
    return abs(after - before) / smaller if smaller else float("inf")
