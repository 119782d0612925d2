"""`docs/release-gate.md`, as a new user walks it: every command, what it shows, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from hil.record import gatefile
from hil.record.conditions import NoRegression
from tests.support.documents import Block, blocks, shown
from tests.support.junit import faults

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "release-gate.md"
QUICK = "-k 'outputs or latency or peak_ram or regression'"
"""The tests of the suite that the path is about; the others would take their minutes and say nothing more."""


class Walk:
    """A shell that goes through a document. It remembers folder and output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = ""
        self._env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HIL_HISTORY": str(folder / "history.sqlite"),
            "PYTEST_ADDOPTS": QUICK,
            "COLUMNS": "100",
        }
        for name in ("HIL_FIRMWARE", "FORCE_COLOR", "CI"):
            self._env.pop(name, None)

    def run(self, block: Block) -> None:
        """All commands; the last has to end as the document says, the others well."""
        script = f"set -eu\n{block.text}\npwd > '{self.folder}/where'"
        if block.status:
            script = f"cd . || exit 99\nset -u\n{block.text}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.here,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.output = done.stdout + done.stderr
        assert done.returncode == block.status, self.output

    @property
    def here(self) -> Path:
        """Where the last block that ended well left off."""
        where = self.folder / "where"
        return Path(where.read_text(encoding="utf-8").strip()) if where.exists() else self.folder


def cases(file: Path) -> dict[str, ET.Element]:
    return {f"{case.get('classname')}.{case.get('name')}": case for case in ET.parse(file).getroot().iter("testcase")}


def test_the_whole_way(tmp_path: Path) -> None:
    walk = Walk(tmp_path)
    several = [block for block in blocks(DOCUMENT) if block.mark in ("run", "shows")]
    assert len(several) > 10
    seen = 0
    for block in several:
        if block.mark == "run":
            walk.run(block)
            if "hil report" in block.text:
                _the_regression_is_named_everywhere(walk.here)
                seen += 1
            continue
        for line in block.text.splitlines():
            assert shown(line.removeprefix("  - "), walk.output), f"{line!r} is not in:\n{walk.output}"
    assert seen == 1

    release = tmp_path / "release"
    assert json.loads((release / "gate.json").read_text(encoding="utf-8"))["verdict"] == "pass"
    assert not any(case.find("failure") is not None for case in cases(release / "gate.xml").values())
    assert "all 6 conditions hold" in (release / "gate.md").read_text(encoding="utf-8")


def _the_regression_is_named_everywhere(release: Path) -> None:
    """In JUnit, in the gate's files, and in HTML; that the terminal names it is what the document shows."""
    suite = cases(release / "rp2040.xml")
    failed = [name for name, case in suite.items() if case.find("failure") is not None]
    assert len(failed) == 1
    assert "test_regression" in failed[0]
    assert "latency worse" in ET.tostring(suite[failed[0]], encoding="unicode")

    assert faults(release / "gate.xml") == []
    gate = cases(release / "gate.xml")
    failure = gate["gate.no-slower"].find("failure")
    assert failure is not None
    assert re.search(r"latency \d+ us, baseline \d+: [45]\.\d+ % worse", failure.get("message", ""))
    record = json.loads((release / "gate.json").read_text(encoding="utf-8"))
    slower = next(one for one in record["conditions"] if one["name"] == "no-slower")
    assert 4 < slower["findings"][0]["worse"] < 6, "about 5 %, as the document says"
    assert "worse" in (release / "gate.md").read_text(encoding="utf-8")

    page = (release / "slow.html").read_text(encoding="utf-8")
    assert "latency_cycles" in page
    assert "worse" in page


def test_the_conditions_in_it_are_some(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(DOCUMENT) if block.mark == "gate"]
    gate = gatefile.read(tmp_path / "gate.toml", block.text)
    assert len(gate.conditions) == 8
    assert sum(isinstance(one.check, NoRegression) for one in gate.conditions) == 2
    assert gate.policies.effects[0].least == 0.05


def test_a_line_is_shown_whatever_its_numbers() -> None:
    output = "x latency 71 us -> 75 us,\n   +4.9 % (counted)\n"
    assert shown("latency 7188 us -> 7540 us, +5.1 % (counted)", output)
    assert not shown("latency 7188 us -> 7540 us, +5.1 % (certain)", output)
