"""Benches: where boards are, how they are taken, powered and freed. Measuring is not done here."""

from hil.bench.choose import ANYWHERE, Where, bench_for, lab_file, lab_for
from hil.bench.lab import Lab, LabBoard
from hil.bench.labgrid import LabgridBench
from hil.bench.local import LocalBench
from hil.bench.station import Bench, Breakable, Rack, Source, Station, Wires
from hil.bench.virtual import VirtualBench

__all__ = [
    "ANYWHERE",
    "Bench",
    "Breakable",
    "Lab",
    "LabBoard",
    "LabgridBench",
    "LocalBench",
    "Rack",
    "Source",
    "Station",
    "VirtualBench",
    "Where",
    "Wires",
    "bench_for",
    "lab_file",
    "lab_for",
]
