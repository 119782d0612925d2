"""Talking to a device: transports, frames, requests. `Link` is the face; docs/protocol.md the specification."""

from hil.link.client import Link
from hil.link.messages import Hello, Memory, RunResult, RunState, Span, StackUse, Time
from hil.link.transport import Faults, FaultyTransport, SerialTransport, TcpTransport, Transport, open_url

__all__ = [
    "Faults",
    "FaultyTransport",
    "Hello",
    "Link",
    "Memory",
    "RunResult",
    "RunState",
    "SerialTransport",
    "Span",
    "StackUse",
    "TcpTransport",
    "Time",
    "Transport",
    "open_url",
]
