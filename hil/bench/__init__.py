"""Benches: where boards are, how they are taken, powered and freed. Measuring is not done here."""

from hil.bench.station import Bench, Breakable, Rack, Source, Station, Wires
from hil.bench.virtual import VirtualBench

__all__ = ["Bench", "Breakable", "Rack", "Source", "Station", "VirtualBench", "Wires"]
