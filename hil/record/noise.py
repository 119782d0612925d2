"""Statistics of times: can this difference be chance? scipy is loaded when the first such question is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hil.record.measurement import Measurement
from hil.record.policy import Policy

RUNS = 5
"""Runs before from which on the spread between runs is known well enough to be asked."""
_FEWEST = 3
_MOST_KEPT = 0.9
_RESAMPLES = 2000
_SEED = 0x6C696821


@dataclass(frozen=True)
class Judged:
    """Whether a difference is more than chance; None where there is too little to tell. `why`: the method, in words."""

    different: bool | None
    why: str


def different(medians: Sequence[float], pooled: Sequence[float], after: Measurement, policy: Policy) -> Judged:
    """Hold samples after against those before.

    `medians`: of the runs before; `pooled`: all their samples. From `RUNS` runs on the new median must also lie outside
    of what such runs span: samples of one run have more in common than those of two.
    """
    several = len(medians) >= RUNS
    found = _within_runs(pooled, after, policy, independent=several)
    if not several:
        return found
    between = _between_runs(medians, after.value, policy)
    if found.different is None or not between.different:
        return between
    return Judged(found.different, f"{found.why}, {between.why}" if found.different else found.why)


def _within_runs(before: Sequence[float], after: Measurement, policy: Policy, *, independent: bool) -> Judged:
    fewer = min(len(before), len(after.samples))
    if fewer < _FEWEST:
        return Judged(None, f"{len(before)} and {len(after.samples)} samples: too few to tell from noise")
    if fewer >= policy.samples:
        return _mann_whitney(before, after.samples, policy, independent=independent)
    return _intervals(before, after.samples, policy)


def _mann_whitney(before: Sequence[float], after: Sequence[float], policy: Policy, *, independent: bool) -> Judged:
    """Mann-Whitney's U: do values of one side tend to be larger? It asks nothing of the shape of the noise.

    But it takes samples for independent. Unless the spread between runs is asked as well, p is corrected.
    """
    from scipy.stats import mannwhitneyu  # noqa: PLC0415 - takes half a second

    p = float(mannwhitneyu(before, after, alternative="two-sided").pvalue)
    if not independent:
        p = _corrected(p, before, after)
    return Judged(p < policy.significance, f"Mann-Whitney p = {p:.2g}")


def _corrected(p: float, before: Sequence[float], after: Sequence[float]) -> float:
    """p, where each sample hangs on the last one: they are worth fewer, as in a first-order autoregressive series.

    But at least one each: p is never above that of two values, so far apart, of the spread that all have.
    """
    from scipy.stats import norm, t  # noqa: PLC0415 - takes half a second

    kept = (_kept(before) * len(before) + _kept(after) * len(after)) / (len(before) + len(after))
    kept = min(max(kept, 0.0), _MOST_KEPT)
    fewer = 2 * float(norm.sf(norm.isf(p / 2) * np.sqrt((1 - kept) / (1 + kept))))
    free = len(before) + len(after) - 2
    spread = np.sqrt((np.var(before) * len(before) + np.var(after) * len(after)) / free)
    apart = abs(float(np.median(after)) - float(np.median(before)))
    two = 2 * float(t.sf(apart / (spread * np.sqrt(2)), free)) if spread else 0.0
    return max(p, min(fewer, two))


def _kept(samples: Sequence[float]) -> float:
    """How much of one sample is in the next: the correlation of neighbours' ranks."""
    from scipy.stats import rankdata  # noqa: PLC0415 - takes half a second

    ranks = rankdata(samples) - (len(samples) + 1) / 2
    if not (square := float(ranks @ ranks)):
        return 0.0
    return float(ranks[:-1] @ ranks[1:]) / square


def _intervals(before: Sequence[float], after: Sequence[float], policy: Policy) -> Judged:
    """Do bootstrap intervals of both medians overlap? Seeded: the same samples give the same answer."""
    (low, high), (low2, high2) = _interval(before, policy), _interval(after, policy)
    apart = high < low2 or high2 < low
    return Judged(apart, f"intervals {low:g}..{high:g} and {low2:g}..{high2:g} {'are apart' if apart else 'overlap'}")


def _interval(samples: Sequence[float], policy: Policy) -> tuple[float, float]:
    values = np.asarray(samples)
    drawn = np.random.default_rng(_SEED).integers(0, len(values), (_RESAMPLES, len(values)))
    half = policy.significance / 2
    low, high = np.quantile(np.median(values[drawn], axis=1), [half, 1 - half])
    return float(low), float(high)


def _between_runs(medians: Sequence[float], after: float, policy: Policy) -> Judged:
    """Is the new value outside of the prediction interval (Student's t) of the values before?"""
    from scipy.stats import t  # noqa: PLC0415 - takes half a second

    runs = np.asarray(medians)
    reach = float(t.ppf(1 - policy.significance / 2, len(runs) - 1) * runs.std(ddof=1) * np.sqrt(1 + 1 / len(runs)))
    low, high = runs.mean() - reach, runs.mean() + reach
    outside = not low <= after <= high
    return Judged(
        outside, f"{'outside of' if outside else 'within'} {low:.6g}..{high:.6g}, the span of {len(runs)} runs"
    )
