"""Is anything worse than it was: every measurement held against the baseline (`--hil-baseline`)."""

from __future__ import annotations

import pytest

from hil.record import Compared


def test_regression(changes: Compared) -> None:
    """No measurement is worse than in the baseline, by more than noise and the smallest change that matters."""
    _judge(changes)


def test_split_regression(cluster_changes: Compared) -> None:
    """The same on several boards."""
    _judge(cluster_changes)


def _judge(changes: Compared) -> None:
    if changes.worse:
        lines = [*map(str, changes.worse), *changes.notes]
        pytest.fail("\n  ".join([f"{changes.subject}, since {changes.title}:", *lines]), pytrace=False)
