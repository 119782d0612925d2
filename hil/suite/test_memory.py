"""Does it run in the RAM that was predicted."""

from __future__ import annotations

from hil.record import Profile


def test_peak_ram(profile: Profile) -> None:
    """Peak RAM is at most the prediction, and the prediction is not padded; the arena is exactly as planned."""
    ram, predicted = profile.measured.ram, profile.deployment.ram_predicted
    assert ram.arena == profile.deployment.plan.arena_bytes
    assert 0.9 * predicted <= ram.peak <= predicted, f"measured {ram.peak} bytes ({ram}), predicted {predicted}"
    limit = profile.limits.ram_bytes
    assert limit is None or ram.peak <= limit, f"{ram.peak} bytes, {limit} allowed"
