"""What shares that follow the boards gain over equal shares, on virtual boards: `python -m benchmarks.unequal_boards`.

The default cluster is three RP2040s and one with half the clock and a quarter of the RAM. Prints, for equal shares and
for the planner's, the latency predicted and measured, and each node's peak RAM and multiply-accumulates.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hil import api
from hil import board as boards
from hil.deployment import build_cluster, model_named, planned_cluster
from hil.measure import compare
from hil.model import inputs as input_sets
from hil.nodes import cluster as cluster_of
from hil.paths import ZOO
from hil.plan.split import Node, split
from hil.wire import wire

_MODEL = ZOO / "mobilenetv2_035" / "mobilenetv2_035.tflite"
_BOARDS = "rp2040*3,rp2040:62.5MHz:64K"


def main() -> None:
    """Run the model by equal shares and by fitted ones."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("model", nargs="?", type=Path, default=_MODEL)
    ask.add_argument("--board", default=_BOARDS)
    ask.add_argument("--link", default="uart-3M")
    given = ask.parse_args()
    graph = model_named(given.model)
    values = input_sets.generate(graph, 1, 0)
    expected = api.expected(graph, values)
    nodes = [Node(boards.load(name)) for name in cluster_of(given.board)]
    print("shares      predicted   measured  wrong  RAM of each node, its million multiply-accumulates   (ms)")
    for equal in (True, False):
        deployment = build_cluster(planned_cluster(split(graph, nodes, wire(given.link), equal=equal)))
        with api.running_cluster(deployment) as cluster:
            found = cluster.infer(values[0])
        pairs = zip(found.outputs, expected.outputs[0], strict=True)
        wrong = sum(compare(got, want).mismatches for got, want in pairs)
        each = "  ".join(f"{n.ram_predicted} {n.plan.macs / 1e6:.2f}" for n in deployment.nodes)
        name, predicted = "equal" if equal else "fitted", deployment.split.timing.total_us
        print(f"{name:10} {predicted / 1000:10.1f} {found.microseconds / 1000:10.1f} {wrong:6}  {each}", flush=True)


if __name__ == "__main__":
    main()
