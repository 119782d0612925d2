"""Tests that users run on their boards: `pytest --board=X` in a clone, `hil test --board X` from a wheel."""
