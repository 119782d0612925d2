"""The wheel: complete, installed names right, and able to run without the clone."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import hil
from hil.paths import BOARDS, FIRMWARE, ZOO
from tests.support.fakes import tiny_model

ROOT = BOARDS.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SOURCES = {".py", ".c", ".h", ".S", ".ld", ".toml", ".typed", ".html", ".css", ".js"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this tree, as `pip wheel` makes it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's contents in a folder, which comes before the clone on the path of `python`."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


def python(site: Path, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Python with the unpacked wheel, somewhere else than the clone."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True, text=True, timeout=300, check=False, cwd=cwd,
        env=environment | {"PYTHONPATH": str(site), "COLUMNS": "80"},
    )  # fmt: skip


def files(folder: Path) -> set[str]:
    """Files of a folder as git keeps them: no caches."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found if path.suffix != ".pyc"}


# -- names -------------------------------------------------------------------------------------------------------------


def test_the_installed_names() -> None:
    found = importlib.metadata.distribution("pytest-hil")
    assert {(e.group, e.name, e.value) for e in found.entry_points} == {
        ("console_scripts", "hil", "hil.cli:main"),
        ("pyocd.probe", "hil", "hil.virtual.pyocd_probe:VirtualProbePlugin"),
        ("pytest11", "hil", "hil.plugin"),
    }
    assert found.version == hil.__version__ == PROJECT["project"]["version"]
    assert (found.metadata["License-Expression"], found.metadata["Requires-Python"]) == ("MIT", ">=3.11")


def test_the_installed_command_is_there() -> None:
    command = Path(sys.executable).with_name("hil")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"hil {hil.__version__}\n"


def test_everything_that_is_imported_is_declared() -> None:
    """What `hil` imports comes with it, from pip alone."""
    declared = {"pytest", "numpy", "rich", "pyserial", "ai-edge-litert", "unicorn", "ziglang", "pyocd"}
    declared |= {"scipy", "junit-xml", "defusedxml", "jinja2", "markupsafe", "plotly"}
    stated = {d.split(">")[0].split("=")[0].split("<")[0].strip() for d in PROJECT["project"]["dependencies"]}
    assert stated == declared


# -- contents ----------------------------------------------------------------------------------------------------------


def test_the_wheel_has_all_of_the_package(wheel: zipfile.ZipFile) -> None:
    """C sources of the virtual board and the marker for type checkers among them."""
    names = set(wheel.namelist())
    wanted = {f"hil/{name}" for name in files(ROOT / "hil") if Path(name).suffix in SOURCES}
    assert wanted - names == set()
    assert "hil/py.typed" in names
    assert any(name.startswith("hil/virtual/native/") for name in wanted)


@pytest.mark.parametrize("folder", [BOARDS, FIRMWARE, ZOO], ids=lambda p: p.name)
def test_the_wheel_has_all_of_the_data(wheel: zipfile.ZipFile, folder: Path) -> None:
    prefix = f"hil/_data/{folder.name}/"
    packed = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
    wanted = files(folder)
    assert wanted
    assert wanted - packed == set()
    for name in wanted:
        assert wheel.read(prefix + name) == (folder / name).read_bytes()


def test_the_wheel_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"hil", f"pytest_hil-{hil.__version__}.dist-info"}
    odd = [n for n in wheel.namelist() if n.endswith((".pyc", ".so", ".o", ".elf")) or "__pycache__" in n or "/." in n]
    assert odd == []


def test_the_wheel_names_no_folder_of_the_machine_that_made_it(wheel: zipfile.ZipFile) -> None:
    here = str(ROOT).encode()
    assert [name for name in wheel.namelist() if here in wheel.read(name)] == []


# -- use ---------------------------------------------------------------------------------------------------------------


def test_the_wheel_finds_its_own_files(installed: Path, tmp_path: Path) -> None:
    code = (
        "from hil import paths; import hil\n"
        "print(hil.__file__, paths.BOARDS, paths.FIRMWARE, paths.ZOO, sep='\\n')\n"
        "from hil import board, cases\n"
        "print(board.load('rp2040').name, len(cases.models([], [], builtin=True)))"
    )
    done = python(installed, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *paths, last = done.stdout.splitlines()
    assert all(Path(path).is_relative_to(installed) for path in paths)
    assert last == f"rp2040 {len(list(ZOO.glob('*/*.tflite')))}"


def test_the_wheel_builds_the_models_that_it_does_not_hold(installed: Path, tmp_path: Path) -> None:
    code = (
        f"import os; os.environ['HIL_CACHE_DIR'] = {str(tmp_path / 'cache')!r}\n"
        "from hil.model.zoo import built_path\n"
        "print(built_path('mobilenetv2_100').stat().st_size)"
    )
    done = python(installed, "-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "3972960\n"), done.stderr


def test_the_suite_runs_from_the_wheel_on_the_virtual_board(installed: Path, tmp_path: Path) -> None:
    """A person with `pip install pytest-hil` and a model, in any folder: the whole line, without the clone."""
    (tmp_path / "mine.tflite").write_bytes(tiny_model())
    options = ["--board=rp2040", "--hil-no-zoo", "--hil-model=mine.tflite", "-p", "no:cacheprovider", "-ra"]
    done = python(installed, "-m", "pytest", "--pyargs", "hil.suite", *options, "--junitxml=r.xml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "hil: rp2040 on the virtual bench, flashed by pyOCD; 1 model" in done.stdout
    assert f"rootdir: {tmp_path}" in done.stdout
    assert str(ROOT) not in done.stdout
    assert " failed" not in done.stdout
    assert 'name="hil.mismatches" value="0"' in (tmp_path / "r.xml").read_text()


def test_hil_test_is_the_short_spelling(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.tflite").write_bytes(tiny_model())
    words = ["test", "mine.tflite", "--board", "rp2040", "--", "-k", "peak_ram", "-p", "no:cacheprovider"]
    done = python(installed, "-c", "import sys; from hil.cli import main; sys.exit(main())", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert re.search(r"= 1 passed, \d+ deselected in ", done.stdout), "and no warnings"
