"""The host reference: right, cached by content, and never more than an error when its process misbehaves."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from hil.errors import InfrastructureError, MalformedModel, ReferenceFailed, ToolMissing, UsageError
from hil.model import inputs as input_sets
from hil.model import reference as module
from hil.model import tflite
from hil.model.graph import Graph
from hil.model.reference import Runtime, find_runtime, reference
from tests.support.models import small_model, small_writer, zoo_file

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def graph() -> Graph:
    return tflite.parse(small_model(), "small")


def _instead(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let another Python program be the child; it finds its folder in `sys.argv[1]`."""

    def command(folder: Path) -> list[str]:
        return [sys.executable, "-c", program, str(folder)]

    monkeypatch.setattr(module, "child_command", command)


def _dead(pid: int) -> bool:
    """Whether a process is gone, or only waits to be reaped; looked at for up to 10 s."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("name", ["op_multi_io", "op_float_edges", "op_shape_moves", "digits"])
def test_outputs_and_layers_are_litert_s(name: str) -> None:
    graph = tflite.load(zoo_file(name))
    sets = input_sets.generate(graph, 5, 3)
    plain, layered = reference(graph, sets), reference(graph, sets, layers=True)
    assert plain.name == layered.name == "ai-edge-litert 1.2.0 BUILTIN_REF double-rounding"
    assert plain.layers is None
    assert layered.layers is not None
    interpreter = Interpreter(model_content=graph.source, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    made = {index for operator in graph.operators for index in operator.outputs}
    for number, given in enumerate(sets):
        for index, array in zip(graph.inputs, given, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        assert set(layered.layers[number]) == made
        for place, index in enumerate(graph.outputs):
            wanted = interpreter.get_tensor(index)
            for found in (plain.outputs[number][place], layered.outputs[number][place], layered.layers[number][index]):
                assert found.dtype == wanted.dtype
                assert np.array_equal(found, wanted)


def test_a_second_call_starts_no_child(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = input_sets.generate(graph, 3, 0)
    first = reference(graph, sets)
    _instead(monkeypatch, "raise SystemExit(9)")
    again = reference(graph, sets)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first.outputs, again.outputs, strict=True))
    other = tflite.parse(small_model() + b"\0", "other")
    for call in (
        lambda: reference(graph, sets, layers=True),
        lambda: reference(graph, input_sets.generate(graph, 3, 1)),
        lambda: reference(graph, sets[:2]),
        lambda: reference(other, sets),
    ):
        with pytest.raises(ReferenceFailed, match="exit status 9"):
            call()


def test_another_runtime_has_answers_of_its_own(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = input_sets.generate(graph, 1, 0)
    reference(graph, sets)
    _instead(monkeypatch, "raise SystemExit(9)")
    monkeypatch.setattr(module, "find_runtime", lambda **_: Runtime("ai_edge_litert", "ai-edge-litert", "1.3.0"))
    with pytest.raises(ReferenceFailed, match=r"1\.3\.0 BUILTIN_REF single-rounding"):
        reference(graph, sets)


@pytest.mark.parametrize("damage", ["garbage", "truncated", "gone", "other"])
def test_a_damaged_entry_is_made_anew(
    graph: Graph, own_cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    sets = input_sets.generate(graph, 2, 0)
    first = reference(graph, sets)
    (stored,) = own_cache.glob("reference/*/set-1.npz")
    match damage:
        case "garbage":
            stored.write_bytes(b"PK\x03\x04 no archive")
        case "truncated":
            stored.write_bytes(stored.read_bytes()[:-40])
        case "gone":
            stored.unlink()
        case _:
            np.savez(stored, t4=np.zeros(3, np.int8))
    again = reference(graph, sets)
    assert np.array_equal(first.outputs[1][0], again.outputs[1][0])
    stored.unlink()
    _instead(monkeypatch, "import os; os.abort()")
    with pytest.raises(ReferenceFailed, match="SIGABRT"):
        reference(graph, sets)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed .SIGSEGV"),
        ("import os; os.abort()", "crashed .SIGABRT"),
        ("import sys; print('last words', file=sys.stderr); sys.exit(7)", "crashed .exit status 7.: last words"),
        (
            "import sys; print('a\\nno such\\x1b[31m op', file=sys.stderr); sys.exit(3)",
            r"refused the model: no such\[31m op",
        ),
        ("pass", "damaged"),
        ("import numpy, sys; numpy.savez(sys.argv[1] + '/set-0.npz', t4=numpy.array([{}]))", "damaged"),
    ],
)
def test_a_child_that_fails(
    graph: Graph, own_cache: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    _instead(monkeypatch, program)
    with pytest.raises(ReferenceFailed, match=f"model small: .*reference.*{words}") as caught:
        reference(graph, input_sets.generate(graph, 1, 0))
    assert isinstance(caught.value, InfrastructureError)
    assert not [
        path for path in own_cache.glob("reference/*") if path.is_dir()
    ]  # nothing is kept that was not finished


HANG = """
import pathlib, subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
import os
pathlib.Path({place!r}).write_text(f"{{os.getpid()}} {{grandchild.pid}}")
time.sleep(600)
"""


def test_a_child_that_hangs_is_ended_with_all_it_started(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "pids"
    _instead(monkeypatch, HANG.format(place=str(place)))
    with pytest.raises(ReferenceFailed, match=r"model small: the host reference gave no answer within 3 s"):
        reference(graph, input_sets.generate(graph, 1, 0), limit=3.0)
    assert all(_dead(int(pid)) for pid in place.read_text().split())


def test_an_interrupted_wait_leaves_no_child(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    class Interrupted(subprocess.Popen[bytes]):
        def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:  # noqa: A002
            started.append(self.pid)
            raise KeyboardInterrupt

    monkeypatch.setattr(module.subprocess, "Popen", Interrupted)
    _instead(monkeypatch, "import time; time.sleep(600)")
    with pytest.raises(KeyboardInterrupt):
        reference(graph, input_sets.generate(graph, 1, 0))
    assert len(started) == 1
    assert _dead(started[0])


def test_an_orphan_ends_by_itself() -> None:
    program = "import time, hil.model.reference_child as c; c._limit_self(1); time.sleep(600)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGALRM


def test_a_model_that_tflite_refuses() -> None:
    w, x, z = small_writer()
    w.graph.operators[0].inputs[2] = w.constant("b4", np.zeros(4, np.int32), 0.001)  # four biases, three channels
    graph = tflite.parse(w.finish([x], [z]), "odd")
    with pytest.raises(ReferenceFailed, match=r"model odd: the host reference, .* refused the model: .*conv"):
        reference(graph, input_sets.generate(graph, 1, 0))


@pytest.mark.parametrize("layers", [True, False])
def test_a_file_that_lies_about_a_shape(layers: bool) -> None:
    w, x, z = small_writer()
    for tensor in w.graph.tensors[3:]:
        tensor.shape = [1, 2, 2, 4]
    graph = tflite.parse(w.finish([x], [z]), "liar")
    with pytest.raises(MalformedModel, match=r"tensor [34] '[yz]' .* shape \(1, 2, 2, 3\) to the host reference"):
        reference(graph, input_sets.generate(graph, 1, 0), layers=layers)


@pytest.mark.parametrize(
    "given",
    [
        [[]],
        [[np.zeros((1, 4, 4, 2), np.int8)] * 2],
        [[np.zeros((4, 4, 2), np.int8)]],
        [[np.zeros((1, 4, 4, 2), np.uint8)]],
        [[np.zeros((1, 4, 4, 2), np.int8)], [np.zeros((1, 4, 4, 2), np.float32)]],
    ],
)
def test_inputs_that_do_not_fit(graph: Graph, given: Sequence[Sequence[np.ndarray]]) -> None:
    with pytest.raises(UsageError, match="model small: input set"):
        reference(graph, given)


def test_the_caller_s_folder_cannot_shadow_the_runtime(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit(5)")
    monkeypatch.chdir(tmp_path)
    assert len(reference(graph, input_sets.generate(graph, 1, 0)).outputs) == 1


def _only(monkeypatch: pytest.MonkeyPatch, **installed: str) -> None:
    """Let only these distributions be installed."""

    def version(name: str) -> str:
        if name.replace("-", "_") not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name.replace("-", "_")]

    monkeypatch.setattr(module.importlib.metadata, "version", version)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object() if name in installed else None)


def test_the_runtime_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(find_runtime(layers=True)) == "ai-edge-litert 1.2.0 BUILTIN_REF double-rounding"
    _only(monkeypatch, tflite_runtime="2.14.0", ai_edge_litert="1.4.0")
    assert str(find_runtime(layers=True)) == "ai-edge-litert 1.4.0 BUILTIN_REF single-rounding"
    _only(monkeypatch, tflite_runtime="2.14.0")
    assert str(find_runtime(layers=False)) == "tflite-runtime 2.14.0 BUILTIN_REF double-rounding"
    with pytest.raises(
        ToolMissing, match=r"per-layer .* only tflite-runtime .*wrong[\s\S]*pip install .*ai-edge-litert"
    ):
        find_runtime(layers=True)
    _only(monkeypatch)
    with pytest.raises(ToolMissing, match=r"reference: neither[\s\S]*pip install .*ai-edge-litert==1\.2\.0"):
        find_runtime(layers=False)


def test_the_child_s_command_is_a_module() -> None:
    command = module.child_command(Path("folder"))
    assert command[0] == sys.executable
    assert command[-3:] == ["-m", "hil.model.reference_child", "folder"]
    assert os.path.isabs(sys.executable)
