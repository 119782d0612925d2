"""UART0 with its modem lines on a TCP port: a serial port by RFC 2217, whose RTS and DTR reset the chip.

A board's two transistors make EN low while RTS is asserted and DTR is not, and GPIO 9 low while DTR alone is. Here the
chip leaves reset at the moment when RTS is let go, and looks at DTR then: on a board a capacitor sees to that order.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import serial.rfc2217

from hil.virtual.sockets import Console, Loop, Say, UartPort

_LONGEST_OPTION = 256  # bytes between IAC SB and IAC SE

Reset = Callable[[bool], None]
"""EN: reset the chip. True: GPIO 9 is low, it is to listen to a flasher."""


class _Lines:
    """What pyserial's RFC 2217 server expects of a serial port. Rates and formats are taken and mean nothing."""

    def __init__(self, reset: Reset) -> None:
        self._reset = reset
        self._dtr = self._rts = self._held = False
        self.baudrate, self.bytesize, self.parity, self.stopbits = 115200, 8, "N", 1
        self.timeout = 0.0
        self.xonxoff = self.rtscts = self.dsrdtr = self.break_condition = False
        self.cts = self.dsr = self.cd = True
        self.ri = False

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, on: bool) -> None:
        self._dtr = bool(on)
        self._changed()

    @property
    def rts(self) -> bool:
        return self._rts

    @rts.setter
    def rts(self, on: bool) -> None:
        self._rts = bool(on)
        self._changed()

    def _changed(self) -> None:
        if self._rts and not self._dtr:
            self._held = True
        elif self._held and not self._rts:
            self._held = False
            self._reset(self._dtr)

    def let_go(self) -> None:
        """The port was closed: its driver lets both lines go."""
        self._dtr = self._rts = False
        self._changed()

    def reset_input_buffer(self) -> None:
        """Nothing is kept here."""

    def reset_output_buffer(self) -> None:
        """Nothing is kept here."""


class SerialPort(UartPort):
    """`console` behind RFC 2217. One client; others are refused."""

    def __init__(self, loop: Loop, console: Console, say: Say, reset: Reset) -> None:
        self._behind = console
        self._lines = _Lines(reset)
        self._manager: serial.rfc2217.PortManager | None = None
        super().__init__(loop, self, say)

    @property
    def room(self) -> int:
        """How many bytes may come from the client."""
        return self._behind.room

    def give(self, data: bytes) -> None:
        """Bytes from the client, options of Telnet among them."""
        if self._manager is None:
            return
        try:
            plain = b"".join(self._manager.filter(data))
        except (KeyError, TypeError, ValueError, struct.error):
            self._say("serial port: hung up on a client that does not speak RFC 2217")
            self._hang_up()
            return
        if len(self._manager.suboption or b"") > _LONGEST_OPTION:
            self._hang_up()
        elif plain:
            self._behind.give(plain)

    def write(self, data: bytes) -> None:
        """Bytes of the protocol itself, from pyserial."""
        super().send(bytes(data))

    def send(self, data: bytes) -> None:
        """Bytes from the board."""
        if self._manager is not None and data:
            super().send(b"".join(self._manager.escape(data)))

    def _accept(self) -> None:
        before: socket.socket | None = self._client
        super()._accept()
        if self._client is not None and self._client is not before:
            self._manager = serial.rfc2217.PortManager(self._lines, self)

    def _hang_up(self) -> None:
        super()._hang_up()
        self._manager = None
        self._lines.let_go()
