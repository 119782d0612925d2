"""What `ci/lab` gives to copy: read by the programs that will read it, where they are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import attr
import pytest

from hil.bench.discover import CONSOLES
from hil.paths import BOARDS

ROOT = BOARDS.parent
LAB = ROOT / "ci" / "lab"
UNITS = sorted(path.name for path in LAB.iterdir() if path.suffix in (".service", ".timer"))


def verified(folder: Path, *units: str) -> str:
    """What systemd says against units, whose programs are those of this environment."""
    made = []
    for name in units:
        text = (LAB / name).read_text("utf-8").replace("/opt/hil/bin", str(Path(sys.executable).parent))
        (folder / name).write_text(text.replace("/opt/hil/src", str(ROOT)))
        made.append(str(folder / name))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *made], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_there_is_a_unit_for_each_part_of_a_lab() -> None:
    assert UNITS == [
        "hil-nightly.service",
        "hil-nightly.timer",
        "labgrid-coordinator.service",
        "labgrid-exporter.service",
    ]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    assert verified(tmp_path, *UNITS) == ""


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_what_the_units_start_exists_and_takes_what_it_is_given(name: str) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", (LAB / name).read_text("utf-8"), re.MULTILINE)
    if "nightly.sh" in line:
        usage = (ROOT / "ci" / "nightly.sh").read_text("utf-8")
        assert "/opt/hil/src/ci/nightly.sh" in line
        known = set(re.findall(r"^    (--\w+)[)\s]", usage, re.MULTILINE))
        assert set(re.findall(r" (--\w+) ", line)) <= known
        return
    program, *words = line.split()
    there = Path(sys.executable).with_name(Path(program).name)
    text = subprocess.run([there, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    for word in words:
        if word.startswith("--"):
            assert f"{word} " in text


def test_the_exporters_file_is_read_by_labgrid() -> None:
    """Its template, its YAML, the class of each resource, and each one's arguments."""
    from labgrid.factory import target_factory
    from labgrid.remote.config import ResourceConfig
    from labgrid.remote.exporter import exports

    found = ResourceConfig(str(LAB / "exporter.yaml"), {"env": {}, "isolated": False}).data
    assert list(found) == ["pico-a", "nrf-a", "c3-a", "virtual-a"]
    for group in found.values():
        for resource in group.values():
            cls = target_factory.class_from_string(resource.pop("cls"))
            assert cls.__name__ in exports or cls.__name__ == "NetworkSerialPort"
            assert set(resource) <= {field.name for field in attr.fields(cls)}
            assert all(isinstance(value, str) for value in resource.get("match", {}).values())


def test_the_udev_rules_are_rules_and_know_every_console() -> None:
    """One rule a line: comparisons of keys that udev has, then assignments."""
    rules = [
        line for line in (LAB / "60-hil.rules").read_text("utf-8").splitlines() if line and not line.startswith("#")
    ]
    pair = r'(?:SUBSYSTEM|KERNEL|DRIVER|ATTRS?\{\w+\})=="[^"]+"'
    for rule in rules:
        assert re.fullmatch(
            rf'(?:{pair}, )+MODE="06[0-7]0", GROUP="(?:dialout|plugdev)"(?:, TAG\+="uaccess")?', rule
        ), rule
    for vendor, product in CONSOLES:
        both = f'ATTRS{{idVendor}}=="{vendor:04x}", ATTRS{{idProduct}}=="{product:04x}"'
        every = f'ATTRS{{idVendor}}=="{vendor:04x}", MODE'
        assert any(rule.startswith('SUBSYSTEM=="tty"') and (both in rule or every in rule) for rule in rules), both


@pytest.mark.skipif(shutil.which("udevadm") is None, reason="udevadm is not installed")
def test_udev_understands_the_rules() -> None:
    done = subprocess.run(
        ["udevadm", "verify", "--no-summary", str(LAB / "60-hil.rules")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "Unknown command verb" in done.stderr or "Unknown command" in done.stderr:
        pytest.skip("this udevadm cannot verify: systemd 254 can")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "lab.md").read_text("utf-8")
    for path in LAB.iterdir():
        assert path.name in guide or path.suffix in (".service", ".timer"), path.name
    for name in UNITS:
        assert name.removesuffix(".service") in guide
