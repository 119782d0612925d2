"""Measurements: output comparison, latency statistics, RAM accounting. No files here."""

from hil.measure.cluster import ClusterMeasured, NodeMeasured, Throughput, measure_cluster
from hil.measure.compare import FLOAT_TOLERANCE, Comparison, compare
from hil.measure.latency import Latency
from hil.measure.profile import Counts, LayerResult, Measured, OperatorTime, RamUse, compare_layers, measure, ram_use

__all__ = [
    "FLOAT_TOLERANCE",
    "ClusterMeasured",
    "Comparison",
    "Counts",
    "Latency",
    "LayerResult",
    "Measured",
    "NodeMeasured",
    "OperatorTime",
    "RamUse",
    "Throughput",
    "compare",
    "compare_layers",
    "measure",
    "measure_cluster",
    "ram_use",
]
