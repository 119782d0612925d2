"""The process that runs TFLite's reference kernels, so that their crashes are its own.

    python -m hil.model.reference_child FOLDER

FOLDER holds `model.tflite`, `inputs.npz` (arrays `i{set}_{position}`) and `request.json`; the answer is one
`set-{i}.npz` per input set with arrays `t{tensor index}`. Status 0 is success; 3 is a refusal by TFLite, whose words
are the last line of standard error; anything else is a crash. The process limits its own time and memory, so that
it ends even when its parent is gone.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import resource
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

REFUSED = 3
_MEMORY = 6 << 30  # address space, in bytes


def _limit_self(seconds: int) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _interpreter(runtime: str, model: bytes, *, layers: bool) -> Any:
    module = importlib.import_module(f"{runtime}.interpreter")
    interpreter = module.Interpreter(
        model_content=model,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=layers,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    return interpreter


def main(folder: Path) -> int:
    """Run every input set of the request; see the module's text for the files."""
    request = json.loads((folder / "request.json").read_text())
    _limit_self(int(request["alarm"]))
    warnings.simplefilter("ignore")
    with np.load(folder / "inputs.npz", allow_pickle=False) as stored:
        inputs = {key: stored[key] for key in stored.files}
    try:
        interpreter = _interpreter(request["runtime"], (folder / "model.tflite").read_bytes(), layers=request["layers"])
        for number in range(request["sets"]):
            for position, index in enumerate(request["inputs"]):
                interpreter.set_tensor(index, inputs[f"i{number}_{position}"])
            interpreter.invoke()
            found = {f"t{index}": interpreter.get_tensor(index) for index in request["wanted"]}
            np.savez(folder / f"set-{number}.npz", **found)
    except (ValueError, RuntimeError, MemoryError) as refusal:
        print(" ".join(str(refusal).split()), file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
