"""What the documents tell people to do is done here: the README's test, and the nightly script."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from hil.paths import ZOO
from hil.record import History
from hil.record.queries import runs
from tests.support.junit import faults

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ZOO / "digits" / "digits.tflite"


def test_readme_test_passes(tmp_path: Path) -> None:
    """The README's example, in a folder of its own, on the virtual board."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- test: user -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found
    assert len([line for line in found[1].splitlines() if line.strip()]) <= 10, "it is told as ten lines"
    (tmp_path / "test_mine.py").write_text(found[1], encoding="utf-8")
    command = ["-m", "pytest", "--board=rp2040", "--hil-no-zoo", f"--hil-model={DIGITS}", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert "test_mine.py" in done.stdout


def nightly(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [str(ROOT / "ci" / "nightly.sh"), "--out", str(folder), *args]
    return subprocess.run(
        command, cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_nightly_keeps_junit_and_logs(tmp_path: Path) -> None:
    out = tmp_path / "results"
    done = nightly(out, "--", "--hil-no-zoo", f"--hil-model={DIGITS}", "-k", "outputs or peak_ram")
    assert done.returncode == 0, done.stdout + done.stderr
    cases = ET.parse(out / "rp2040.xml").getroot().iter("testcase")
    properties = [{p.get("name"): p.get("value") for p in case.iter("property")} for case in cases]
    measured = [p for p in properties if "hil.mismatches" in p]
    assert measured
    assert all(p["hil.bench"] == "virtual" and p["hil.mismatches"] == "0" for p in measured)
    assert "digits" in (out / "rp2040.log").read_text(encoding="utf-8")
    assert (out / "doctor.json").stat().st_size > 0


def test_a_night_is_exported_gated_and_reported(tmp_path: Path) -> None:
    """The scripts with the real commands, on the virtual board; their statuses are tested in tests/unit/test_ci.py."""
    gate = tmp_path / "gate.toml"
    gate.write_text('schema = 1\n[conditions]\nright = "mismatches == 0 for digits"\ntested = "tests pass on rp2040"\n')
    out = tmp_path / "results"
    words = ("--", "--hil-no-zoo", f"--hil-model={DIGITS}", "-k", "outputs or peak_ram")
    done = nightly(out, "--gate", str(gate), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads((out / "gate" / "gate.json").read_text(encoding="utf-8"))
    assert {one["name"]: one["verdict"] for one in verdict["conditions"]} == dict.fromkeys(
        ("right", "tested", "runs ended", "merged tests"), "pass"
    )
    (run,) = verdict["runs"]
    assert json.loads((out / "runs.jsonl").read_text(encoding="utf-8"))["run"]["id"] == run
    assert faults(out / "gate" / "gate.xml") == []
    assert "digits" in (out / "gate" / f"{run}.html").read_text(encoding="utf-8")

    gate.write_text(gate.read_text() + 'small = "ram_peak <= 1 KiB on rp2040"\n')
    script = str(ROOT / "ci" / "gate.sh")
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    words = (script, "--gate", str(gate), "--keep", "kept.sqlite", str(out))
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL  small" in done.stdout
    with History.open(tmp_path / "kept.sqlite") as history:
        assert [one.id for one in runs(history)] == [run]


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("--boards", "no-such-board"), 4),
        (("--frobnicate",), 2),
        (("--", "--hil-no-zoo", "--hil-model=none.tflite"), 4),
    ],
)
def test_nightly_fails_when_nothing_ran(tmp_path: Path, args: tuple[str, ...], status: int) -> None:
    assert nightly(tmp_path / "results", *args).returncode == status
