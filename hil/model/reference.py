"""What the host says the answer is: TFLite with its reference kernels, whole model and per layer.

TFLite runs in a child process with a time limit (`hil.model.reference_child`): some models crash it. Answers are
cached by content: model, inputs, runtime and its version, and whether every layer was asked for.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hil.cache import digest, entry
from hil.errors import MalformedModel, ReferenceFailed, ToolMissing, UsageError
from hil.model.graph import Graph, Tensor
from hil.model.reference_child import REFUSED
from hil.model.tflite import for_reference

Array = npt.NDArray[np.generic]

# Raise when the files of a cache entry, or what is computed into them, change their meaning.
_FORMAT = "1"
PINNED = "1.2.0"
"""The version whose arithmetic is the reference; later ones round FULLY_CONNECTED differently."""
_PIP = f'python -m pip install "ai-edge-litert=={PINNED}"'


@dataclass(frozen=True)
class Runtime:
    """An installed TFLite: the Python module, and the distribution's name and version."""

    module: str
    distribution: str
    version: str

    @property
    def single_rounding(self) -> bool:
        """Whether FULLY_CONNECTED rounds once: ai-edge-litert from 1.3.0 on."""
        numbers = [int(part) if part.isdigit() else 0 for part in self.version.split(".")[:2]]
        return self.distribution == "ai-edge-litert" and numbers >= [1, 3]

    def __str__(self) -> str:
        rounding = "single-rounding" if self.single_rounding else "double-rounding"
        return f"{self.distribution} {self.version} BUILTIN_REF {rounding}"


@dataclass(frozen=True)
class ReferenceResult:
    """The reference's answer: `outputs[i][k]` is output k of input set i, of the graph's shape and type.

    `layers[i]` maps the index of every tensor that an operator makes to its value; None unless layers were asked for.
    `name` says which runtime and which arithmetic, for the record.
    """

    name: str
    outputs: tuple[tuple[Array, ...], ...]
    layers: tuple[Mapping[int, Array], ...] | None


def find_runtime(*, layers: bool) -> Runtime:
    """The runtime to use: ai-edge-litert, else an installed tflite-runtime for whole-model outputs only."""
    runtimes = (Runtime("ai_edge_litert", "ai-edge-litert", ""), Runtime("tflite_runtime", "tflite-runtime", ""))
    for runtime in runtimes:
        try:
            version = importlib.metadata.version(runtime.distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        if importlib.util.find_spec(runtime.module) is None:
            continue
        if layers and runtime.module == "tflite_runtime":
            raise ToolMissing(
                "per-layer reference: only tflite-runtime is installed, and it is wrong per layer "
                "(an operator in place overwrites its input); ai-edge-litert is right",
                hint=_PIP,
            )
        return Runtime(runtime.module, runtime.distribution, version)
    raise ToolMissing("host reference: neither ai-edge-litert nor tflite-runtime is installed", hint=_PIP)


def reference(
    graph: Graph, inputs: Sequence[Sequence[Array]], *, layers: bool = False, limit: float = 300.0
) -> ReferenceResult:
    """The reference's outputs for each set of inputs, which must have the graph's shapes and types.

    `limit` is seconds for all sets together. A crash, a refusal or running out of time is `ReferenceFailed`.
    """
    _check_inputs(graph, inputs)
    runtime = find_runtime(layers=layers)
    made = [index for operator in graph.operators for index in operator.outputs]
    wanted = sorted(made) if layers else list(graph.outputs)
    key = digest(_FORMAT, graph.sha256, str(runtime), json.dumps(wanted), _inputs_digest(inputs))

    def make(folder: Path) -> None:
        _run(graph, inputs, runtime, wanted, folder, limit=limit, layers=layers)
        _read(graph, folder, wanted, len(inputs))  # nothing that cannot be read again is kept

    place = entry("reference", key, make)
    try:
        sets = _read(graph, place, wanted, len(inputs))
    except (ReferenceFailed, MalformedModel):  # sound when it was made, damaged since: made anew, once
        shutil.rmtree(place, ignore_errors=True)
        sets = _read(graph, entry("reference", key, make), wanted, len(inputs))
    outputs = tuple(tuple(found[index] for index in graph.outputs) for found in sets)
    return ReferenceResult(str(runtime), outputs, sets if layers else None)


def _check_inputs(graph: Graph, inputs: Sequence[Sequence[Array]]) -> None:
    tensors = [graph.tensors[index] for index in graph.inputs]
    for number, given in enumerate(inputs):
        if len(given) != len(tensors):
            raise UsageError(f"model {graph.name}: input set {number} has {len(given)} arrays, not {len(tensors)}")
        for array, tensor in zip(given, tensors, strict=True):
            if array.shape != tensor.shape or array.dtype.name != tensor.dtype:
                raise UsageError(
                    f"model {graph.name}: input set {number} has {array.dtype.name} {array.shape} for {tensor}"
                )


def _inputs_digest(inputs: Sequence[Sequence[Array]]) -> str:
    return digest(
        *(part for given in inputs for array in given for part in (array.dtype.str, array.tobytes())), str(len(inputs))
    )


def _run(
    graph: Graph,
    inputs: Sequence[Sequence[Array]],
    runtime: Runtime,
    wanted: Sequence[int],
    folder: Path,
    *,
    limit: float,
    layers: bool,
) -> None:
    """Let the child fill `folder` with one file per input set; its request does not stay there."""
    request = {
        "runtime": runtime.module,
        "layers": layers,
        "inputs": list(graph.inputs),
        "wanted": list(wanted),
        "sets": len(inputs),
        "alarm": math.ceil(limit) + 5,
    }
    arrays = {f"i{number}_{k}": array for number, given in enumerate(inputs) for k, array in enumerate(given)}
    names = ("request.json", "model.tflite", "inputs.npz")
    (folder / names[0]).write_text(json.dumps(request))
    (folder / names[1]).write_bytes(for_reference(graph))
    np.savez(folder / names[2], **arrays)  # type: ignore[arg-type]
    status, said = _run_child(child_command(folder), limit, graph.name)
    if status != 0:
        what = f"refused the model: {said}" if status == REFUSED else f"crashed ({_status(status)}): {said}"
        raise ReferenceFailed(f"model {graph.name}: the host reference, {runtime}, {what}")
    for name in names:
        (folder / name).unlink()


def child_command(folder: Path) -> list[str]:
    """The command of the child. `-P` keeps the caller's folder from shadowing numpy or hil."""
    return [sys.executable, "-P", "-m", "hil.model.reference_child", str(folder)]


def _run_child(command: Sequence[str], limit: float, model: str) -> tuple[int, str]:
    """The child's exit status and the end of what it said; its whole session is dead when this returns."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    try:
        _, said = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise ReferenceFailed(f"model {model}: the host reference gave no answer within {limit:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stderr is not None:
            child.stderr.close()
    text = said.decode("utf-8", "replace").strip().splitlines()
    line = text[-1] if text else "no message"
    return child.returncode, "".join(letter for letter in line if letter.isprintable())[:400]


def _status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


def _read(graph: Graph, folder: Path, wanted: Sequence[int], sets: int) -> tuple[dict[int, Array], ...]:
    """The arrays of a cache entry, each held against the graph."""
    try:
        return tuple(_read_set(graph, folder / f"set-{number}.npz", wanted) for number in range(sets))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ReferenceFailed(
            f"model {graph.name}: the reference's stored answer in {folder} is damaged: {error}"
        ) from error


def _read_set(graph: Graph, path: Path, wanted: Sequence[int]) -> dict[int, Array]:
    found: dict[int, Array] = {}
    with np.load(path, allow_pickle=False) as stored:
        for index in wanted:
            array = stored[f"t{index}"]
            if not isinstance(array, np.ndarray):
                raise ValueError(f"t{index} in {path.name} is no array")
            _check_array(graph, graph.tensors[index], array)
            array.setflags(write=False)
            found[index] = array
    return found


def _check_array(graph: Graph, tensor: Tensor, array: Array) -> None:
    """TFLite infers shapes and types for itself; where the file says otherwise, the file is wrong."""
    if array.shape != tensor.shape or array.dtype.name != tensor.dtype:
        raise MalformedModel(
            f"model {graph.name}: {tensor} is {array.dtype.name} of shape {array.shape} to the host reference"
        )
