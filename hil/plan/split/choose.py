"""Chooses a division: asks the search, lays out what it finds, and takes what truly fits and is best."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hil.errors import DoesNotFit
from hil.model.graph import Graph
from hil.plan.planner import check_cost, weighted_macs
from hil.plan.planner import plan as plan_one
from hil.plan.records import Box
from hil.plan.split.estimate import Target
from hil.plan.split.geometry import intersection
from hil.plan.split.recognise import views_of
from hil.plan.split.search import Found, Search, latency, traffic
from hil.plan.split.splitter import Laid, Model, Node, Objective, Split, count_of, divisible, finished, lay, programs
from hil.plan.split.stages import stages
from hil.wire import Wire

Say = Callable[[str], None]
_MARGINS = (1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7, 0.6)
"""Parts of the RAM that the search may use: its estimates may be a little low."""
_PRICES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Microseconds that a byte of flash is worth, tried in turn until the weights fit."""
_PLENTY = 1 << 40
_LENIENT = 4
"""Times the RAM that the estimate of a division may claim and what is laid out still be tried."""
_WIDER = (1.0, 1.01, 1.02, 1.04, 1.08, 1.15, 1.3)
"""Times the least RAM: with a little more the search may find what in truth needs less."""
_HALVINGS = 13


def _silent(_: str) -> None:
    pass


def split(
    graph: Graph,
    nodes: Sequence[Node],
    wire: Wire,
    *,
    objective: Objective = "latency",
    say: Say = _silent,
    equal: bool = False,
) -> Split:
    """Divide `graph` over `nodes`. Deterministic.

    `equal`: every node gets the same share, whatever it can carry (to compare with). Raises `UnsupportedModel`,
    `MalformedModel`, `BoardFileError`, or `DoesNotFit` with the tightest node, operator and tensor.
    """
    model = divisible(graph)
    for node in nodes:
        for kernel in ("conv_partial", "copy", "finish", *(op.record.COST for op in model.operations)):
            check_cost(node.board, kernel)
    chooser = _Chooser(model, nodes, wire, equal=equal)
    say(f"dividing {graph.name} over {count_of(nodes)} for {objective}")
    laid = chooser.choose(objective)
    say(f"writing the programs of {graph.name}")
    return finished(laid, wire, objective, _compare(model, nodes[0], wire, len(nodes)))


def fewest(graph: Graph, nodes: Sequence[Node], wire: Wire, most: int, *, say: Say = _silent) -> int | None:
    """How many nodes, as many as these or more like the last of these, hold the model; None if `most` do not.

    Of numbers between, it is taken that what fits on some fits on more.
    """
    model = divisible(graph)

    def fits(count: int) -> bool:
        say(f"looking whether {graph.name} fits on {count} node{'s' * (count != 1)}")
        more = [*nodes, *[nodes[-1]] * (count - len(nodes))]
        return _Chooser(model, more, wire, equal=False).fits()

    low, high = len(nodes) - 1, len(nodes)
    while not fits(high):
        if high == most:
            return None
        low, high = high, min(most, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


class _Chooser:
    def __init__(self, model: Model, nodes: Sequence[Node], wire: Wire, *, equal: bool) -> None:
        self._model, self._nodes = model, tuple(nodes)
        targets = [Target(node.board, node.cores, node.ram, node.flash) for node in nodes]
        self._search = Search(model.graph, model.operations, model.results, targets, wire)
        self._targets = targets
        self._weights = (tuple(1.0 for _ in nodes),) if equal else tuple(self._shares())

    def _shares(self) -> Iterator[tuple[float, ...]]:
        """Ways to share work: by speed; by speed, less where RAM is small; without the slower half; and so on."""
        speeds = self._search.speeds
        yield speeds
        most = max(t.ram for t in self._targets)
        scarce = [max(t.ram, 1) / most for t in self._targets]
        if min(scarce) < 0.9:
            for power in (0.5, 1.0, 2.0):
                yield tuple(speed * part**power for speed, part in zip(speeds, scarce, strict=True))
        order = sorted(range(1, len(speeds)), key=lambda n: (-speeds[n] * scarce[n], n))
        for count in (2, 4, 8):
            if count < len(speeds):
                taken = {0, *order[: count - 1]}
                yield tuple(speed if n in taken else 0.0 for n, speed in enumerate(speeds))

    def choose(self, objective: Objective) -> Laid:
        if objective == "throughput":
            return self._pipeline()
        if objective == "ram":
            return self._least_ram()
        cost = traffic if objective == "traffic" else latency
        refused: DoesNotFit | None = None
        for margin in _MARGINS:
            caps = [int(target.ram * margin) for target in self._targets]
            for found in self._priced(cost, caps):
                try:
                    return self._laid(found)
                except DoesNotFit as error:
                    refused = error
        try:
            return self._least_ram()  # the search's own idea of RAM may have been too large
        except DoesNotFit as error:
            raise refused or error from None

    def _priced(self, cost: Callable[..., float], caps: Sequence[int]) -> Iterator[Found]:
        """What the search finds at rising prices of flash, from the first that seems to fit."""
        for price in _PRICES:
            found = self._search.best(cost, caps, self._weights, price)
            if found is None:
                return
            if all(used <= t.flash for used, t in zip(found.flash, self._targets, strict=True)):
                yield found

    def _laid(self, found: Found) -> Laid:
        """In memory and as programs. Raises `DoesNotFit`."""
        laid = lay(self._model, found.units, self._nodes)
        if not laid.fits:
            laid = lay(self._model, found.units, self._nodes, apart=True)
        laid.check()
        for number, (made, node) in enumerate(zip(programs(laid), self._nodes, strict=True)):
            if len(made.program.data) > node.flash:
                raise self._no_flash(number, len(made.program.data))
        return laid

    def _no_flash(self, number: int, needed: int) -> DoesNotFit:
        node, graph = self._nodes[number], self._model.graph
        largest = max(self._model.operations, key=lambda op: op.constants(op.out.view.whole)).job
        operator = graph.operators[largest.operator]
        tensor = graph.tensors[operator.outputs[0]]
        code = node.board.flash.bytes - node.flash
        return DoesNotFit(
            f"{graph.name} does not fit on {count_of(self._nodes)}: node {number} ({node.board.name}) needs "
            f"{needed + code} bytes of flash, {node.board.flash.bytes} are available ({needed} for the program, {code} "
            f"for code); most of it are weights, the largest of {operator}, output {tensor}",
            needed=needed + code, available=node.board.flash.bytes, operator=str(operator), tensor=str(tensor),
            node=number,
        )  # fmt: skip

    def _hopeless(self) -> DoesNotFit:
        """No division keeps within the limits: say what the one with the least RAM would need."""
        least = self._least()
        laid = lay(self._model, least.units, self._nodes)
        try:
            laid.check()
        except DoesNotFit as error:
            return error
        cheapest = self._search.best(latency, [_PLENTY for _ in self._targets], self._weights, _PRICES[-1])
        flash = cheapest.flash if cheapest else least.flash
        _, number = max((used - t.flash, n) for n, (used, t) in enumerate(zip(flash, self._targets, strict=True)))
        return self._no_flash(number, flash[number])

    def _least(self) -> Found:
        """The fastest division of those that need the least part of every node's RAM, however much that is."""
        rooms = [max(t.ram, 1) for t in self._targets]

        def within(part: float) -> Found | None:
            return self._search.best(latency, [int(room * part) for room in rooms], self._weights)

        high = 1.0
        while (best := within(high)) is None:
            high *= 2  # with enough of it one node can do everything
        low = high / 2 if high > 1 else 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            found = within(middle)
            if found is None:
                low = middle
            else:
                best, high = found, middle
        return best

    def fits(self) -> bool:
        """Whether there is a division within the limits."""
        for part in (_LENIENT, *_MARGINS):
            seemed = False
            for found in self._priced(latency, [int(t.ram * part) for t in self._targets]):
                seemed = True
                try:
                    self._laid(found)
                except DoesNotFit:
                    continue
                return True
            if not seemed:
                return False
        return False

    def _least_ram(self) -> Laid:
        least = self._least()
        part = max(used / max(t.ram, 1) for used, t in zip(least.ram, self._targets, strict=True))
        best: Laid | None = None
        refused: DoesNotFit | None = None
        for more in _WIDER if part < _LENIENT else ():
            for found in self._priced(latency, [int(t.ram * part * more) for t in self._targets]):
                try:
                    tried = [self._laid(found), lay(self._model, found.units, self._nodes, apart=True)]
                except DoesNotFit as error:
                    refused = error
                    continue
                best = min([*([best] if best else []), *tried], key=self._fullness)
                break
        if best is None:
            raise refused or self._hopeless()
        return best

    def _fullness(self, laid: Laid) -> float:
        return max(used / t.ram for used, t in zip(laid.arenas, self._targets, strict=True))

    def _pipeline(self) -> Laid:
        units = stages(self._search, self._model.operations, self._targets)
        if units is None:
            raise self._hopeless()
        laid = lay(self._model, units, self._nodes, keep_inputs=True)
        laid.check()
        return laid


def _compare(model: Model, node: Node, wire: Wire, count: int) -> dict[str, dict[str, int]]:
    """Figures of one node, of one node with line buffers, and of the published kernel-wise scheme on `count`."""
    one = plan_one(model.graph, node.board)
    target = Target(node.board, 1, _PLENTY, _PLENTY)
    search = Search(model.graph, model.operations, model.results, [target], wire)
    low, high = 0, one.arena_bytes
    lines: Found | None = search.best(latency, [high], ((1.0,),))
    while lines is not None and low + 64 < high:
        middle = (low + high) // 2
        found = search.best(latency, [middle], ((1.0,),))
        if found is None:
            low = middle
        else:
            lines, high = found, middle
    buffered = lay(model, lines.units, [Node(node.board)]).arrangements[0].bytes if lines else one.arena_bytes
    alone = {"arena": one.arena_bytes, "flash": len(one.program.data), "macs": one.macs, "bytes_received": 0}
    return {
        "single_node": alone,
        "single_node_line_buffered": alone | {"arena": min(buffered, one.arena_bytes)},
        "kernel_wise": _kernel_wise(model, count),
    }


def _kernel_wise(model: Model, count: int) -> dict[str, int]:
    """The scheme of arXiv:2605.09357, idealised: every call by equal shares of its channels, its inputs gathered.

    Bytes of node 0, whose shares are the largest: inputs that it needs and outputs that it makes, and what it receives,
    the model's input included.
    """
    arena = flash = macs = received = 0
    views = views_of(model.graph, model.operations)
    owned: dict[int, Box] = {}
    for op in model.operations:
        channels = -(-op.out.view.channels // count) if op.by_channels else op.out.view.channels
        box = Box(0, op.out.view.rows, 0, channels)
        held = op.out.view.bytes_of(box)
        for operand, need in zip(op.inputs, op.needs(box), strict=True):
            view = operand.view if views[operand.tensor] == operand.view else views[operand.tensor]
            wanted = need if view == operand.view else view.whole
            own = intersection(wanted, owned[operand.tensor]) if operand.tensor in owned else None
            held += view.bytes_of(wanted)
            received += view.bytes_of(wanted) - (view.bytes_of(own) if own else 0)
        arena, flash = max(arena, held), flash + op.constants(box)
        macs += weighted_macs([(op.record, box)]) if op.by_channels else 0
        owned[op.out.tensor] = box
    return {"arena": arena, "flash": flash, "macs": macs, "bytes_received": received}
