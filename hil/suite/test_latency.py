"""Is it fast enough, by the device's own counters."""

from __future__ import annotations

import pytest

from hil.record import Profile


def test_latency(profile: Profile) -> None:
    """The median latency is within the recorded limit; repeats are identical where a virtual board counts its time."""
    measured = profile.measured
    assert measured.latency.cycles_median > 0
    if profile.source == "virtual" and profile.deployment.board.counted:
        assert measured.repeats_identical, f"{measured.latency.samples} us: virtual time must be counted, not timed"
    limit = profile.limits.latency_us
    if limit is None:
        pytest.skip(f"no latency limit is recorded for this model on {profile.deployment.board.name}")
    assert measured.latency.median <= limit, f"{measured.latency.median:g} us, {limit:g} us allowed"
