"""Hardware-in-the-loop tests for neural networks on microcontrollers."""

__version__ = "0.1.0"
