"""One model over several boards: how it is divided, each node's plan, and a numpy interpreter of all of them."""

from hil.plan.pieces import Piece
from hil.plan.split.choose import fewest, split
from hil.plan.split.cluster import Cluster
from hil.plan.split.splitter import Node, Objective, Split
from hil.plan.split.timing import Course, Timing

__all__ = ["Cluster", "Course", "Node", "Objective", "Piece", "Split", "Timing", "fewest", "split"]
