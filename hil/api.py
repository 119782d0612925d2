"""The calls behind every door: the pytest plugin, the `hil` command and `from hil import api` make the same ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hil import board as boards
from hil.bench import ANYWHERE, Bench, Source, Where, choose, lab_for
from hil.bench.choose import labgrid_of
from hil.bench.discover import discovered
from hil.bench.labgrid import seen
from hil.bench.local import state_of
from hil.bench.state import State
from hil.board import Board
from hil.cache import digest, entry
from hil.cluster import Cluster, cluster_started
from hil.deployment import (
    ClusterDeployment,
    Deployment,
    Planned,
    PlannedCluster,
    Say,
    Tensors,
    build,
    build_cluster,
    model_named,
    plan_cluster_for,
    plan_for,
    silent,
)
from hil.dut import Dut, started
from hil.errors import HilError, PlanError, UsageError
from hil.image.build import compile_commands as compile_database
from hil.measure import Counts, compare, measure, measure_cluster
from hil.model import inputs as input_sets
from hil.model.graph import Graph
from hil.model.reference import ReferenceResult, reference
from hil.nodes import Objective, board_list, cluster
from hil.plan import Interpreter
from hil.plan import split as several
from hil.record import NO_LIMITS, ClusterProfile, History, Limits, Profile, Uses, judged, judged_cluster
from hil.record.health import health_of
from hil.variant import Console, Load

REFERENCE_LIMIT = 300.0
INPUTS = 4
"""Input sets where nobody asked for a number: enough for the corners that `hil.model.inputs` puts first."""


@dataclass(frozen=True)
class Request:
    """What to measure. `warmup` and `repeats` of None mean the bench's defaults.

    `board` is a board kind, or a list that is one cluster ('rp2040*3,rp2350'); with `nodes`, one kind so many times.
    `link` of None is the boards' default wire. Without an `objective` one board runs the plain plan, and several the
    fastest. With `in_flight` above 1 so many inferences are also run one behind the other. `load` "ram" has a debugger
    write the image to RAM, `console` "rtt" has it carry the console too: both for one board.
    A `console` of None is that of the lab's boards, else a UART.
    """

    board: str
    cores: int = 1
    nodes: int | None = None
    link: str | None = None
    objective: Objective | None = None
    in_flight: int = 1
    inputs: int = INPUTS
    seed: int = 0
    warmup: int | None = None
    repeats: int | None = None
    layers: bool = False
    toolchain: str = "zig"
    load: Load = "flash"
    console: Console | None = None
    limits: Limits = NO_LIMITS
    where: Where = ANYWHERE

    @property
    def boards(self) -> tuple[str, ...]:
        """The board kind of every node. Raises `UsageError`."""
        return cluster(self.board, self.nodes)

    @property
    def split(self) -> bool:
        """Whether it takes more than one board: then the calls with 'cluster' in their names are the ones to make."""
        return len(self.boards) > 1


def bench_for(board: Board, where: Where = ANYWHERE) -> Bench:
    """Where a board of this kind can be reached now. Raises `BoardMissing`, and `LabFileError`."""
    return choose.bench_for(board, where)


def bench_title(boards_named: str, where: Where = ANYWHERE) -> str:
    """Where a board, or the first of a list, is: 'rp2040 on the virtual bench, flashed by pyOCD'.

    Also where it cannot be reached.
    """
    try:
        first = board_list(boards_named)[0]
        return f"{boards_named} on the {choose.title(boards.load(first), where)}"
    except HilError:
        return f"{boards_named}, which cannot be reached"


def plan(path: Path, request: Request, *, say: Say = silent) -> Planned:
    """Load and plan for one board. Raises what refuses: malformed, unsupported, does not fit."""
    (name,) = request.boards
    if request.in_flight > 1:
        raise UsageError(f"--throughput {request.in_flight}: one board has one inference at a time", hint="--nodes 2")
    graph = model_named(path)
    return plan_for(
        graph, name, cores=request.cores, objective=request.objective, toolchain=request.toolchain, load=request.load,
        console=_console(name, request), say=say,
    )  # fmt: skip


def _console(name: str, request: Request) -> Console:
    """What is asked for; else "rtt" if all boards of that kind on the bench have that."""
    if request.console is not None:
        return request.console
    lab = lab_for(request.where)
    return "rtt" if lab is not None and {board.console for board in lab.of(name)} == {"rtt"} else "uart"


def plan_cluster(path: Path, request: Request, *, say: Say = silent) -> PlannedCluster:
    """Load and plan for several boards. Raises what refuses; what does not fit tells the fewest boards that do."""
    if request.load != "flash":
        raise UsageError("--load ram is for one board: the nodes of a cluster start from flash", hint="--nodes 1")
    if request.console not in (None, "uart"):
        raise UsageError(
            f"--console {request.console} is for one board: nodes of a cluster have UARTs", hint="--nodes 1"
        )
    objective: Objective = request.objective or ("throughput" if request.in_flight > 1 else "latency")
    if request.in_flight > 1 and objective != "throughput":
        raise UsageError(
            f"--throughput {request.in_flight} with --objective {objective}: only plans for throughput keep the inputs "
            "that the next inference needs",
            hint="--objective throughput",
        )
    return plan_cluster_for(
        model_named(path), request.boards, cores=request.cores, link=request.link, objective=objective,
        toolchain=request.toolchain, say=say,
    )  # fmt: skip


def prepare(path: Path, request: Request, *, say: Say = silent) -> Deployment:
    """Load, plan and build. Everything that can be refused is refused here, before a board is touched."""
    planned = plan(path, request, say=say)
    return build(planned, say=say)


def prepare_cluster(path: Path, request: Request, *, say: Say = silent) -> ClusterDeployment:
    """The same for several boards, whose images are built side by side."""
    return build_cluster(plan_cluster(path, request, say=say), say=say)


def export(deployment: Deployment, folder: Path, *, compile_commands: bool = False) -> tuple[Path, ...]:
    """Copy the image's files out of the cache, named after model and board. Raises `UsageError`."""
    return _exported([deployment], [f"{deployment.graph.name}-{deployment.board.name}"], folder, compile_commands)


def export_cluster(deployment: ClusterDeployment, folder: Path, *, compile_commands: bool = False) -> tuple[Path, ...]:
    """The same for every node, whose number is in the names."""
    stems = [f"{deployment.graph.name}-{node.board.name}-node{k}" for k, node in enumerate(deployment.nodes)]
    return _exported(deployment.nodes, stems, folder, compile_commands)


def _exported(
    deployments: Sequence[Deployment], stems: Sequence[str], folder: Path, compile_commands: bool
) -> tuple[Path, ...]:
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for deployment, stem in zip(deployments, stems, strict=True):
            image = deployment.image
            sources = [source for source in (image.elf, image.bin, image.uf2) if source is not None]
            made += [Path(shutil.copyfile(source, folder / f"{stem}{source.suffix}")) for source in sources]
        if compile_commands:
            first = deployments[0]
            commands = compile_database(first.board, toolchain=first.planned.toolchain)
            made.append(folder / "compile_commands.json")
            made[-1].write_text(json.dumps(commands, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    return tuple(made)


def expected(graph: Graph, values: tuple[Tensors, ...], *, layers: bool = False, say: Say = silent) -> ReferenceResult:
    """The host reference for these inputs; cached by content."""
    say(f"reference for {graph.name}, {len(values)} inputs")
    return reference(graph, values, layers=layers, limit=REFERENCE_LIMIT)


def prove(planned: Planned, values: Tensors, result: ReferenceResult, *, say: Say = silent) -> None:
    """Run the program's own bytes in numpy and hold them against the reference, before any board is touched.

    Cached by content: a program is proved once for an input. Raises `PlanError` where they differ.
    """
    program = planned.plan.program
    _prove(
        planned.graph, [program.data], lambda: Interpreter(program).run(values), values=values, result=result, say=say
    )


def prove_cluster(planned: PlannedCluster, values: Tensors, result: ReferenceResult, *, say: Say = silent) -> None:
    """The same for the programs of all nodes, with the messages between them."""
    plans = planned.split.plans
    programs = [plan.program.data for plan in plans]
    _prove(planned.graph, programs, lambda: several.Cluster(plans).run(values), values=values, result=result, say=say)


def _prove(
    graph: Graph,
    programs: Sequence[bytes],
    run: Callable[[], Sequence[bytes]],
    *,
    values: Tensors,
    result: ReferenceResult,
    say: Say,
) -> None:
    say(f"proving the program of {graph.name}")

    def make(folder: Path) -> None:
        for data, want, tensor in zip(run(), result.outputs[0], graph.outputs, strict=True):
            got = compare(_like(data, want), want)
            if got.mismatches:
                raise PlanError(
                    f"{graph.name}: the program computes {got.mismatches} of {got.elements} elements of output "
                    f"{graph.tensors[tensor]} other than the reference; nothing was flashed"
                )
        (folder / "proved").touch()

    entry("proved", digest(*programs, *(v.tobytes() for v in values), result.name), make)


def _like(data: bytes, want: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return np.frombuffer(data, want.dtype).reshape(want.shape)


@contextmanager
def running(deployment: Deployment, *, where: Where = ANYWHERE, say: Say = silent) -> Iterator[Dut]:
    """A board with the deployment on it."""
    with started(deployment, bench_for(deployment.board, where), say=say) as dut:
        yield dut


@contextmanager
def running_cluster(deployment: ClusterDeployment, *, where: Where = ANYWHERE, say: Say = silent) -> Iterator[Cluster]:
    """Boards with the deployment on them, all on the bench where the first can be reached."""
    with cluster_started(deployment, bench_for(deployment.nodes[0].board, where), say=say) as running:
        yield running


def profile(path: Path, request: Request, *, say: Say = silent, uses: Uses | None = None) -> Profile | ClusterProfile:
    """Plan, build, run, compare, measure, judge: the whole line for one model, on one board or on several.

    `uses` watches how the boards behave.
    """
    if request.split:
        return profile_cluster(path, request, say=say, uses=uses)
    deployment = prepare(path, request, say=say)
    values = input_sets.generate(deployment.graph, request.inputs, request.seed)
    result = expected(deployment.graph, values, layers=request.layers, say=say)
    prove(deployment.planned, values[0], result, say=say)
    watch = uses or Uses()
    with watch.watched(), running(deployment, where=request.where, say=say) as dut:
        watch.began(dut)
        return profile_on(dut, values, result, request, say=say)


def profile_cluster(path: Path, request: Request, *, say: Say = silent, uses: Uses | None = None) -> ClusterProfile:
    """The whole line for one model on several boards."""
    if request.layers:
        raise UsageError("--layers: on several boards no operator's output is whole anywhere", hint="--nodes 1")
    deployment = prepare_cluster(path, request, say=say)
    values = input_sets.generate(deployment.graph, request.inputs, request.seed)
    result = expected(deployment.graph, values, say=say)
    prove_cluster(deployment.planned, values[0], result, say=say)
    watch = uses or Uses()
    with watch.watched(), running_cluster(deployment, where=request.where, say=say) as running:
        watch.began(running)
        return profile_on_cluster(running, values, result, request, say=say)


def profile_on(
    dut: Dut, values: tuple[Tensors, ...], result: ReferenceResult, request: Request, *, say: Say = silent
) -> Profile:
    """Measure on a board that already runs, and judge."""
    source = dut.station.source
    counts = _counts(request, source, dut.deployment.board)
    measured = measure(dut, values, result, counts, layers=request.layers, say=say)
    return judged(dut.deployment, measured, source, request.limits, dut.flashed)


def profile_on_cluster(
    running: Cluster, values: tuple[Tensors, ...], result: ReferenceResult, request: Request, *, say: Say = silent
) -> ClusterProfile:
    """Measure on a cluster that already runs, and judge."""
    first = running.duts[0]
    source = first.station.source
    counts = _counts(request, source, first.deployment.board)
    measured = measure_cluster(running, values, result, counts, in_flight=request.in_flight, say=say)
    return judged_cluster(running.deployment, measured, source, request.limits, running.flashed)


def _counts(request: Request, source: Source, board: Board) -> Counts:
    default = Counts.default(source, counted=board.counted)
    return Counts(
        default.warmup if request.warmup is None else request.warmup,
        default.repeats if request.repeats is None else request.repeats,
    )


def known_boards() -> tuple[Board, ...]:
    """Every board with a description."""
    return tuple(boards.load(name) for name in boards.names())


@dataclass(frozen=True)
class Place:
    """Where a board can be reached now, who holds it (None: nobody), and whether it is well, or why not.

    `score`: how likely its next use is to be good, after its last `uses` (see `hil.record.health`); None: not known.
    """

    bench: Source
    where: str
    held_by: str | None = None
    health: str = "well"
    score: float | None = None
    uses: int = 0


def places(board: Board, where: Where = ANYWHERE, *, history: History | None = None) -> tuple[Place, ...]:
    """Where a board of this kind can be reached. A virtual one starts on demand, as often as it is asked for.

    Scores are from `history`.
    """
    if (labgrid := labgrid_of(where)) is not None:
        return tuple(Place(*found) for found in seen(labgrid, board.name))
    lab = lab_for(where)
    state = State(state_of(lab))
    ours = lab.of(board.name) if lab else ()
    if not ours and where.bench == "auto":
        ours = discovered(board.name, board.baud, state)
    found: list[Place] = []
    for one in ours:
        holder, aside = state.holder(one.identity), state.quarantined(one.identity)
        held_by = None if holder is None else str(holder)
        health = "well" if aside is None else f"set aside ({aside.reason}): hil lab release {one.name}"
        known = health_of(history, one.identity, state) if history is not None else None
        score, uses = (round(known.score, 4), known.uses) if known is not None and known.uses else (None, 0)
        found.append(Place(one.source, f"{one.name} at {one.identity}", held_by, health, score, uses))
    if board.virtual and not where.hardware:
        found.append(Place("virtual", f"{board.virtual.machine}, started on demand"))
    return tuple(found)
