"""A virtual ESP32-C3 and its sockets: UART0 twice, as bare bytes and as a serial port with DTR and RTS; the probe; and
an owner on standard input.

Virtual time is counted, never timed, see `hil.virtual.server`. It stands still while the boot ROM's loader listens.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from hil.image.elf import Elf
from hil.virtual.esp.machine import RAN_TO_LIMIT, Esp32c3, flash_image
from hil.virtual.esp.rom import LONGEST, RomLoader
from hil.virtual.esp.serial_port import SerialPort
from hil.virtual.probe import MOST_BYTES
from hil.virtual.sockets import Answer, Loop, RequestPort, UartPort

_REQUESTS = "clock, reset, download, wait_idle, and read with address and length"
STRIDE = 1 << 20  # cycles: 6.6 ms at 160 MHz
_GREETING = "ESP-ROM:esp32c3-api1-20210207\r\nrst:0x1 (POWERON),boot:{}\r\n"
_DOWNLOADS = _GREETING.format("0x4 (DOWNLOAD(USB/UART0/1))") + "waiting for download\r\n"
_BOOTS = _GREETING.format("0xc (SPI_FAST_FLASH_BOOT)")


def be_board(elf: Path | None, host: str, port: int) -> int:
    """Greet, and be a board with `elf` in its flash, or erased flash, until standard input ends; the exit status."""
    flash = flash_image(Elf(elf).segments, elf.name) if elf is not None else b""
    server = Server(Esp32c3(flash), host, port)
    print(json.dumps({"schema": "hil.virtual/1", **server.ports, "pid": os.getpid()}), flush=True)
    server.serve()
    return 0


class Server:
    """Runs `chip` until standard input ends. What the boot ROM says comes out of UART0, at the rate of the host."""

    def __init__(self, chip: Esp32c3, host: str, port: int) -> None:
        self._chip = chip
        self._rom = RomLoader(chip.flash)
        self._listens = False
        self._idle = False
        self._run_again = True
        self._loop = Loop(host)
        self._uart = UartPort(self._loop, self, self._say, port)
        self._serial = SerialPort(self._loop, self, self._say, self._reset)
        self._probe = RequestPort(self._loop, self._obey)
        self._reset(False)

    @property
    def ports(self) -> dict[str, int]:
        """The TCP ports: of UART0 as bare bytes, of UART0 by RFC 2217, of the probe."""
        return {"uart0": self._uart.port, "serial": self._serial.port, "probe": self._probe.port}

    @property
    def room(self) -> int:
        """How many bytes the board takes from the host now."""
        return LONGEST if self._listens else self._chip.room

    def give(self, data: bytes) -> None:
        """Bytes from the host."""
        if self._listens:
            self._send(self._rom.receive(data))
        else:
            self._chip.give(data)
            self._run_again = True

    def serve(self) -> None:
        """Run and serve until the owner lets go."""
        while not self._loop.over:
            self._idle = self._listens or self._chip.run(STRIDE) != RAN_TO_LIMIT
            self._run_again = not self._idle
            for line in self._chip.notes():
                self._say(line)
            if self._idle:
                self._send(self._chip.take())
                self._probe.answer_waiting(self._clock)
            self._loop.poll(0)
            while not (self._run_again or self._loop.over):
                self._loop.poll(None)
            self._send(self._chip.take())

    def _reset(self, download: bool) -> None:
        """The EN pin; `download`: GPIO 9 is low."""
        self._listens = download
        self._idle, self._run_again = False, True
        if download:
            self._chip.hold()
            self._rom.reset()
            self._send(_DOWNLOADS.encode())
        else:
            self._send(_BOOTS.encode())
            if not self._chip.boot():
                first = int.from_bytes(self._chip.flash[:4], "little")
                self._send(f"invalid header: {first:#010x}\r\n".encode())
                self._say("nothing to boot: flash does not begin with the two magic words of a direct boot")

    def _send(self, data: bytes) -> None:
        self._uart.send(data)
        self._serial.send(data)

    def _say(self, line: str) -> None:
        print(f"virtual esp32c3: {line}", file=sys.stderr, flush=True)

    def _clock(self) -> Answer:
        state = self._chip.state()
        idle = self._idle and not self._run_again
        return {"cycles": state.cycles, "insns": [state.instructions], "ns": state.nanoseconds, "idle": idle}

    def _obey(self, request: Any) -> Answer | None:
        match request:
            case {"op": "clock"}:
                return self._clock()
            case {"op": "reset"}:
                self._chip.power_cycle()
                self._reset(False)
                return {}
            case {"op": "download"}:
                self._reset(True)
                return {}
            case {"op": "read", "address": int(address), "length": int(length)}:
                return self._read(address, length)
            case {"op": "wait_idle"}:
                return self._clock() if self._idle and not self._run_again else None
            case _:
                return {"error": f"unknown request; there are {_REQUESTS}"}

    def _read(self, address: int, length: int) -> Answer:
        if not 0 <= length <= MOST_BYTES:
            return {"error": f"length is at most {MOST_BYTES}"}
        data = self._chip.read(address, length)
        if data is None:
            return {"error": f"{length} bytes at {address:#x} are not all flash or RAM"}
        return {"data": data.hex()}
