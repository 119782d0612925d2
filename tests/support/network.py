"""Nodes as processes under a switch and a clock that the test plays: the firmware's own network, repeatable."""

from __future__ import annotations

import heapq
import struct
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from hil.cache import digest, entry, tree_digest
from hil.errors import LinkLost
from hil.image.toolchain import zig
from hil.link import Link
from hil.link.switch import Switch
from hil.paths import FIRMWARE
from tests.support.engine import sanitizing_compiler

_NODE = Path(__file__).with_name("network_node.c")
_FOLDERS = ("engine", "link", "net", "port", "")
_FLAGS = ("-std=c11", "-g", "-O1", "-DHIL_NODES=16u", "-DHIL_NET_BAUD=3000000u", "-DHIL_NET_ROOM=6000u")
_WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")
WIRE_US = 50
"""What every frame takes."""
TICK_US = 400
"""How far time goes at most while everybody rests: less than the shortest retry."""


@cache
def _binary() -> Path:
    """The node, under the address and undefined-behaviour sanitizers; without gcc or clang only the latter, by zig."""
    sources = [*sorted((FIRMWARE / "engine").rglob("*.c")), *sorted((FIRMWARE / "link").glob("*.c"))]
    sources += [*sorted((FIRMWARE / "net").glob("*.c")), _NODE]
    found = sanitizing_compiler()
    command = [found] if found else [*zig().argv]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if found else ["-fsanitize=undefined"]
    flags = [*checks, *_FLAGS, *_WARNINGS, *(f"-I{FIRMWARE / name}" for name in _FOLDERS)]

    def make(folder: Path) -> None:
        subprocess.run([*command, *flags, *map(str, sources), "-o", str(folder / "node")], check=True, timeout=300)

    parts = [FIRMWARE / name for name in ("engine", "link", "net", "port/port.h")]
    return entry("test-node", digest("node/1", found or "zig", *flags, tree_digest(*parts, _NODE)), make) / "node"


class PlayedNode:
    """One node's process. `frames` is called with each frame that it sends."""

    def __init__(self, program: bytes, slow: int, frames: Callable[[bytes], None]) -> None:
        self._frames = frames
        self.inbox: list[bytes] = []
        self.console_in = b""
        self.console_out = bytearray()
        self.busy = True
        self.process = subprocess.Popen(
            [_binary(), str(slow)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._write(struct.pack("<I", len(program)) + program)
        self._collect()

    def _write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def _read(self, size: int) -> bytes:
        assert self.process.stdout
        data = self.process.stdout.read(size)
        if len(data) != size:
            assert self.process.stderr
            raise AssertionError(f"a node ended: {self.process.stderr.read().decode(errors='replace')[-3000:]}")
        return data

    def _collect(self) -> None:
        """Everything that the node says until it rests."""
        self.busy = False
        while (kind := self._read(1)) != b"Y":
            self.busy = True
            if kind == b"F":
                _, size = struct.unpack("<2I", self._read(8))
                self._frames(self._read(size))
            else:
                (size,) = struct.unpack("<I", self._read(4))
                self.console_out += self._read(size)

    def go_on(self, now: int) -> None:
        """Let it run until it rests again, with what has arrived meanwhile."""
        console, self.console_in = self.console_in[:4096], self.console_in[4096:]
        frames, self.inbox = self.inbox, []
        mail = b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)
        self._write(struct.pack("<QI", now, len(console)) + console + struct.pack("<I", len(frames)) + mail)
        self._collect()

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


class PlayedNetwork:
    """All nodes. Reading from any console lets time pass for all."""

    def __init__(self, programs: Sequence[bytes], *, slow: Sequence[int] = ()) -> None:
        self.now = 0
        self.switch = Switch(len(programs))
        self.halted: set[int] = set()
        self.sent: list[tuple[int, int, bytes]] = []
        """Every frame: when, by whom, what."""
        self._due: list[tuple[int, int, int, bytes]] = []
        self._number = 0
        self.nodes = [
            PlayedNode(program, slow[node] if slow else 0, lambda frame, node=node: self._carry(node, frame))  # type: ignore[misc]
            for node, program in enumerate(programs)
        ]
        self.links = [Link(_Console(self, node), baud=10**9, timeout=1.0, poll=0.5) for node in range(len(programs))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for node in self.nodes:
            node.stop()

    def _carry(self, source: int, frame: bytes) -> None:
        self.sent.append((self.now, source, frame))
        for delivery in self.switch.route(source, frame):
            self.deliver(delivery.node, delivery.frame, WIRE_US + delivery.delay_us)

    def deliver(self, node: int, frame: bytes, after_us: int = 0) -> None:
        """Let a frame come to a node."""
        heapq.heappush(self._due, (self.now + after_us, self._number, node, frame))
        self._number += 1

    def round(self) -> None:
        """Every node gets its turn, then time goes on to the next event."""
        while self._due and self._due[0][0] <= self.now:
            _, _, node, frame = heapq.heappop(self._due)
            self.nodes[node].inbox.append(frame)
        for number, node in enumerate(self.nodes):
            if number not in self.halted:
                node.go_on(self.now)
        if not any(node.busy or node.console_in for node in self.nodes):
            self.now = min([self.now + TICK_US, *(due[0] for due in self._due[:1])])
        else:
            self.now += 1


class _Console:
    """A node's console as a transport."""

    def __init__(self, network: PlayedNetwork, node: int) -> None:
        self.name = f"node {node}"
        self._network, self._node = network, node

    def read(self, size: int, timeout: float) -> bytes:
        node = self._network.nodes[self._node]
        if not node.console_out:
            self._network.round()
        data = bytes(node.console_out[:size])
        del node.console_out[:size]
        return data

    def write(self, data: bytes) -> None:
        if self._node in self._network.halted:
            raise LinkLost(f"{self.name}: gone")
        self._network.nodes[self._node].console_in += data

    def close(self) -> None:
        pass
