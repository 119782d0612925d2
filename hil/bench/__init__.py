"""Benches: where boards are, how they are taken, powered and freed. Measuring is not done here."""

from hil.bench.station import Bench, Source, Station
from hil.bench.virtual import VirtualBench

__all__ = ["Bench", "Source", "Station", "VirtualBench"]
