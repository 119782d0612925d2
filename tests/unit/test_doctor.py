"""The doctor: says what is missing and what mends it, and is calm about what is only nice to have."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from hil import cli, doctor
from hil.doctor import Finding
from hil.model.reference import PINNED


def named(what: str) -> Finding:
    return next(finding for finding in doctor.examine() if finding.what == what)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_this_environment_is_healthy() -> None:
    """These tests need what a run needs, so all of it is here."""
    assert [f for f in doctor.examine() if f.needed and not f.good] == []
    assert all(not f.mend for f in doctor.examine() if f.good)


@pytest.mark.parametrize("package", ["numpy", "pyserial", "ziglang", "unicorn", "ai-edge-litert"])
def test_a_missing_package_is_named_with_its_cure(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, package)
    finding = named(package)
    assert (finding.good, finding.needed, finding.found) == (False, True, "missing")
    assert finding.mend.startswith("pip install ")
    assert package in finding.mend


def test_another_reference_than_the_pinned_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.4.0")
    finding = named("ai-edge-litert")
    assert (finding.good, finding.found) == (False, f"1.4.0, not {PINNED}")
    assert finding.mend == f"pip install ai-edge-litert=={PINNED}"


@pytest.mark.parametrize(("version", "good"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 12, 4), True),
                                               ((3, 13, 0), False)])  # fmt: skip
def test_python_versions(version: tuple[int, ...], good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    finding = doctor._python()
    assert (finding.good, bool(finding.mend)) == (good, not good)


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIL_CACHE_DIR", str(tmp_path / "not" / "yet" / "there"))
    assert named("cache").good
    monkeypatch.setattr(os, "access", lambda *_: False)
    finding = named("cache")
    assert not finding.good
    assert "HIL_CACHE_DIR" in finding.mend


def test_a_missing_second_toolchain_is_no_illness(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    finding = named("arm-none-eabi-gcc")
    assert (finding.good, finding.needed) == (False, False)
    assert finding.mend == "apt-get install gcc-arm-none-eabi"
    assert cli.main(["doctor"]) == 0
    assert "ready" in capsys.readouterr().out


def test_the_command_fails_when_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "unicorn")
    assert cli.main(["doctor"]) == 4
    out = capsys.readouterr().out
    assert "pip install unicorn" in out
    assert "1 missing" in out


def test_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == "hil.doctor/1"
    for finding in record["findings"]:
        assert list(finding) == ["what", "why", "found", "good", "needed", "mend"]


def test_nothing_is_named_twice() -> None:
    names = [finding.what for finding in doctor.examine()]
    assert len(names) == len(set(names))
