"""Split deployments, measured on virtual boards against predicted: `python -m benchmarks.split_accuracy`.

Prints a line for each number of nodes and each wire: both latencies, their difference, and the least and the greatest
part of the predicted RAM that a node used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hil import api
from hil.paths import ZOO
from hil.record import ClusterProfile, Profile

_MODEL = ZOO / "mobilenetv2_035" / "mobilenetv2_035.tflite"


def line(nodes: int, link: str, found: Profile | ClusterProfile) -> str:
    """One row of the table."""
    measured = found.measured.latency.median
    if isinstance(found, ClusterProfile):
        predicted = found.deployment.split.timing.total_us
        pairs = zip(found.measured.nodes, found.deployment.nodes, strict=True)
        used = [100 * node.ram.peak / deployment.ram_predicted for node, deployment in pairs]
    else:
        plan = found.deployment.plan
        predicted = plan.cycles * 1e6 / plan.board.clock_hz
        used = [100 * found.measured.ram.peak / found.deployment.ram_predicted]
    off = 100 * (predicted / measured - 1)
    return (
        f"{nodes:5} {link:14} {predicted / 1000:9.1f} {measured / 1000:9.1f} {off:+6.1f} %"
        f" {min(used):9.1f} .. {max(used):5.1f} % {found.measured.outputs.mismatches:6}"
    )


def main() -> None:
    """Profile the model on every number of nodes and every wire."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("model", nargs="?", type=Path, default=_MODEL)
    ask.add_argument("--board", default="rp2040")
    ask.add_argument("--nodes", default="1,2,4,8")
    ask.add_argument("--links", default="uart-3M,ethernet-100M")
    given = ask.parse_args()
    print("nodes wire           predicted  measured      off   RAM used of predicted  wrong   (ms)")
    for nodes in map(int, given.nodes.split(",")):
        for link in given.links.split(","):
            alone = nodes == 1
            request = api.Request(given.board, nodes=nodes, link=None if alone else link, inputs=1)
            print(line(nodes, "-" if alone else link, api.profile(given.model, request)), flush=True)
            if alone:
                break


if __name__ == "__main__":
    main()
