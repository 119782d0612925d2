"""What comes over a console, as lines that a person can read: text as it is, frames by what they are."""

from __future__ import annotations

from hil.link.framing import MAX_PAYLOAD, Frame, parse
from hil.link.messages import ANSWER, Kind

_LONGEST = 2 * MAX_PAYLOAD
"""Bytes without an end of line or frame that are kept before they become a line."""
_SHOWN = 24


class Lines:
    """Cuts a stream of bytes at ends of lines and at the zeros around frames. Keeps at most a frame's worth."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes, in order."""
        found: list[str] = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._pending += piece
            found += self.rest()
        self._pending += rest
        if len(self._pending) > _LONGEST or self._pending.endswith(b"\n"):
            found += self.rest()
        return found

    def rest(self) -> list[str]:
        """What has come and is not ended: a board that stopped in the middle."""
        data, self._pending = bytes(self._pending), bytearray()
        if not data:
            return []
        frame = parse(data)
        if frame is not None:
            return [_described(frame)]
        return [line for line in data.decode("ascii", "backslashreplace").splitlines() if line.strip()]


def _described(frame: Frame) -> str:
    answer = frame.kind & ANSWER
    try:
        name = Kind(frame.kind & ~ANSWER).name
    except ValueError:
        name = f"kind {frame.kind:#04x}"
    words = [f"frame: {'answer to ' if answer else ''}{name}, sequence {frame.sequence}"]
    words += [f"status {frame.status}"] * bool(frame.status)
    if frame.kind == Kind.LOG:
        return ", ".join([*words, frame.payload.decode("utf-8", "backslashreplace")])
    shown = frame.payload[:_SHOWN].hex(" ") + (" ..." if len(frame.payload) > _SHOWN else "")
    return ", ".join([*words, f"{len(frame.payload)} bytes"]) + (f": {shown}" if shown else "")
