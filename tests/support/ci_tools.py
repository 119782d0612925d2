"""Fakes of `python` and `hil` for the scripts of `ci/`: they note how they were called and leave the files behind."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_FAKE = """\
#!{python}
import json, os, sys
from pathlib import Path
if sys.argv[1] == "-c":  # a question to python itself
    os.execv("{python}", ["python", *sys.argv[1:]])
words = [Path(sys.argv[0]).name, *sys.argv[1:]]
line = " ".join(words)
with open(os.environ["FAKE_CALLS"], "a") as calls:
    calls.write(json.dumps(words) + "\\n")

def option(name):
    values = [w.split("=", 1)[1] if "=" in w else words[k + 1] for k, w in enumerate(words) if w.split("=")[0] == name]
    return values[-1] if values else None

silent = [text for text in os.environ.get("FAKE_SILENT", "").split("|") if text]
if not any(text in line for text in silent):
    for name in ("--junit-xml", "--hil-history", "--json", "--output", "--junit", "--markdown"):
        if (path := option(name)) is not None:
            told = words[1] == "gate" and name == "--json"
            Path(path).write_text(json.dumps(dict(runs=["run1", "run2"])) if told else "from " + line + "\\n")
for rule in filter(None, os.environ.get("FAKE_STATUS", "").split("|")):
    text, _, status = rule.rpartition("=")
    if text in line:
        sys.exit(int(status))
"""


class FakeTools:
    """A folder with fake programs. `silent`: calls with one of these texts write nothing; `status`: text=number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._calls = folder / "calls"
        programs = folder / "bin"
        programs.mkdir()
        for name in ("python", "hil"):
            (programs / name).write_text(_FAKE.format(python=sys.executable), encoding="utf-8")
            (programs / name).chmod(0o755)
        self.env = os.environ | {
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            "FAKE_CALLS": str(self._calls),
            "FAKE_SILENT": "",
            "FAKE_STATUS": "",
        }
        self.env.pop("GITHUB_STEP_SUMMARY", None)

    def run(self, command: Sequence[str] | str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script, or a line of shell as a CI server would."""
        self._calls.unlink(missing_ok=True)
        words = ["bash", "-e", "-c", command] if isinstance(command, str) else list(command)
        return subprocess.run(
            words, cwd=cwd, env=self.env | env, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def calls(self) -> list[str]:
        """How they were called, in order."""
        if not self._calls.exists():
            return []
        return [shlex.join(json.loads(line)) for line in self._calls.read_text(encoding="utf-8").splitlines()]
