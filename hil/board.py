"""Board descriptions: `boards/*.toml`, parsed once into typed values. No hardware is touched here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from hil.errors import BoardFileError, UsageError
from hil.paths import BOARDS
from hil.wire import PORTS, Wire, wire

_ISAS = ("thumb-v6m", "thumb-v7em", "thumb-v8m", "rv32imac", "rv32imc", "host")
_RUNNERS = ("unicorn", "esp", "qemu", "process")
_CLOCKS = ("own", "shared", "host")
_TOOLCHAINS = ("zig", "gcc", "asan", "tsan")
_COUNTERS = ("cycles", "instructions", "microseconds", "nanoseconds")
_MOST_CYCLES = 1e12


@dataclass(frozen=True)
class Region:
    """A span of the address map, in bytes."""

    address: int
    bytes: int

    @property
    def end(self) -> int:
        return self.address + self.bytes


@dataclass(frozen=True)
class Cost:
    """Predicted cycles of a kernel: by what is counted in a box (a field of `hil.plan.records.Work`), for one of it."""

    each: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Counter:
    """A counter in a virtual machine that its firmware leaves alone: an independent clock. `bits`: 32 or 64."""

    address: int
    bits: int
    hz: int


@dataclass(frozen=True)
class Virtual:
    """What runs the board's machine code where no board is: a runner of `hil.virtual`, and what it is to be.

    `program` and `arguments` are a command of another package, for runners that need one; `package` is the Debian
    package that brings it. `clock`: whether each core has its own virtual time, or all share one ("shared"), or time
    is not virtual at all but this machine's ("host").
    `counter` is what runners read that cannot look at virtual time itself.
    """

    runner: str
    machine: str
    program: str | None
    arguments: tuple[str, ...]
    package: str | None
    clock: str
    counter: Counter | None = None

    @property
    def counted(self) -> bool:
        """Whether its time is counted, so that the same run takes the same time on every machine."""
        return self.clock != "host"


@dataclass(frozen=True)
class NetworkPort:
    """A port for a wire to other boards, for which the firmware has a driver.

    Its CPU cost, on the core that does the exchange: cycles of each frame with data (`frame`) and without (`word`:
    grants and acknowledgements), and of each byte of it, in either direction.
    `most_bps`: the fastest line, in bits a second, that the port can drive.
    """

    frame: float
    word: float
    byte: float
    most_bps: int


@dataclass(frozen=True)
class Identity:
    """A word by which a debugger knows the chip: of what is at `address`, the bits of `mask` are `value`."""

    address: int
    mask: int
    value: int


@dataclass(frozen=True)
class Loader:
    """Code of ours that programs the flash for a debugger which has none: firmware/loader/SOURCE.c; `sector`: bytes."""

    source: str
    sector: int


@dataclass(frozen=True)
class Board:
    """A kind of hardware. Every value is checked on load; see the comments in `boards/rp2040.toml`."""

    name: str
    title: str
    port: str
    virtual: Virtual | None
    isa: str
    cores: int
    clock_hz: int
    counts: str
    flash: Region
    ram: Region
    stack: Region
    stack_per_core: int
    baud: int
    uf2_family: int | None
    build: Mapping[str, tuple[str, ...]]
    """Target flags by toolchain."""
    costs: Mapping[str, Cost] = field(repr=False)
    step_cost: float
    run_cost: float
    """What starting and ending a run takes beside its steps."""
    network: Mapping[str, NetworkPort] = field(default_factory=dict)
    """Its network ports by name: those that a `Wire.port` can name."""
    flash_tools: Mapping[str, str] = field(default_factory=dict)
    """The tools that flash it, the first is the default: what each calls this kind of board."""
    identity: Identity | None = None
    flash_buffers: Region | None = None
    """RAM for a debugger's flash algorithm to be given data in, a page at a time, where its own is small."""
    divisions: int = 2
    """What start-up divides the clock by, at most: most ports have dividers for the full clock and for half of it."""
    loader: Loader | None = None
    """What programs its flash for a debugger that cannot itself."""
    default_wire: str | None = None
    """What its nodes are wired with where nobody says; None exactly if it has no network port."""
    consoles: tuple[str, ...] = ("uart",)
    """What its console can be; `baud` is of "uart". "rtt": buffers in RAM that a debugger reads and writes."""
    console: str = "uart"
    image_in: str = "flash"
    """Or "ram", of a board as `hil.variant.in_ram` makes it: `flash` is that part of RAM in which the image lies."""

    def accepts(self, wire: Wire) -> bool:
        """Whether the board has the port of `wire`, and that is fast enough."""
        port = self.network.get(wire.port)
        return port is not None and wire.bits_per_second <= port.most_bps

    @property
    def counted(self) -> bool:
        """Whether the time of a virtual one is counted, see `Virtual.counted`."""
        return self.virtual is not None and self.virtual.counted

    @property
    def hosted(self) -> bool:
        """Whether its firmware is a program of this machine's own system, which decides where memory is."""
        return self.isa == "host"


class _Table:
    """A TOML table, read key by key: errors name file and key, and keys that nobody asked for are noticed."""

    def __init__(self, file: Path, path: str, values: dict[str, Any]) -> None:
        self.file, self.path, self.values = file, path, values
        self.seen: set[str] = set()

    def fail(self, key: str, why: str) -> NoReturn:
        raise BoardFileError(f"{self.file.name}: {self.path}{key}: {why}")

    def take(self, key: str, kind: type, *, optional: bool = False) -> Any:
        self.seen.add(key)
        if key not in self.values:
            if optional:
                return None
            self.fail(key, "missing")
        value = self.values[key]
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            self.fail(key, f"expected {kind.__name__}, found {value!r}")
        return value

    def string(self, key: str) -> str:
        value = self.take(key, str)
        if not value:
            self.fail(key, "is empty")
        return str(value)

    def integer(self, key: str, low: int, high: int) -> int:
        value = self.take(key, int)
        if not low <= value <= high:
            self.fail(key, f"{value} is outside {low}..{high}")
        return int(value)

    def number(self, key: str, what: str) -> float:
        """A number of at least 0; `what` it is, for the message."""
        value = self.take(key, object)
        if not _cycles(value):
            self.fail(key, f"expected {what}, found {value!r}")
        return float(value)

    def text(self, key: str) -> str | None:
        """An optional string."""
        return self.string(key) if key in self.values else None

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty if it is not there."""
        value = self.take(key, list, optional=True) or []
        if not all(isinstance(item, str) and item for item in value):
            self.fail(key, f"expected a list of strings, found {value!r}")
        return tuple(value)

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.string(key)
        if value not in allowed:
            self.fail(key, f"{value!r} is not one of {', '.join(allowed)}")
        return value

    def table(self, key: str, *, optional: bool = False) -> _Table | None:
        value = self.take(key, dict, optional=optional)
        return None if value is None else _Table(self.file, f"{self.path}{key}.", value)

    def need(self, key: str) -> _Table:
        found = self.table(key)
        assert found is not None
        return found

    def done(self) -> None:
        if extra := sorted(set(self.values) - self.seen):
            self.fail(extra[0], f"unknown key (known here: {', '.join(sorted(self.seen))})")


def parse(file: Path, text: str) -> Board:
    """A board from TOML text; `file` only names it in messages. Raises `BoardFileError`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BoardFileError(f"{file.name}: not TOML: {error}") from error
    top = _Table(file, "", raw)
    top.integer("schema", 1, 1)
    name = top.string("name")
    if name != file.stem:
        top.fail("name", f"{name!r} differs from the file's name")
    cpu, memory, console = top.need("cpu"), top.need("memory"), top.need("console")
    flash, ram = _region(memory, "flash"), _region(memory, "ram")
    stack, per_core = _stack(memory)
    memory.done()
    cores = cpu.integer("cores", 1, 64)
    if per_core * cores > stack.bytes:
        top.fail("memory.stack.per_core", f"{cores} stacks of {per_core} bytes do not fit in {stack.bytes}")
    uf2 = top.table("uf2", optional=True)
    costs, step_cost, run_cost = _costs(top.need("cost"))
    flash_tools, identity, flash_buffers, loader = _flash(top.table("flash", optional=True))
    network, default_wire = _network(top.table("network", optional=True))
    board = Board(
        name=name,
        title=top.string("title"),
        port=top.string("port"),
        virtual=_virtual(top.table("virtual", optional=True)),
        isa=cpu.one_of("isa", _ISAS),
        cores=cores,
        clock_hz=cpu.integer("clock_hz", 1_000, 10_000_000_000),
        counts=cpu.one_of("counts", _COUNTERS),
        divisions=cpu.integer("divisions", 1, 2) if "divisions" in cpu.values else 2,
        flash=flash,
        ram=ram,
        stack=stack,
        stack_per_core=per_core,
        baud=console.integer("baud", 300, 12_000_000),
        uf2_family=uf2.integer("family", 0, 0xFFFF_FFFF) if uf2 else None,
        build=_build(top.need("build")),
        costs=costs,
        step_cost=step_cost,
        run_cost=run_cost,
        network=network,
        flash_tools=flash_tools,
        identity=identity,
        flash_buffers=flash_buffers,
        loader=loader,
        default_wire=default_wire,
        consoles=("uart", "rtt") if console.take("rtt", bool, optional=True) else ("uart",),
    )
    for table in (cpu, console, uf2, top):
        if table:
            table.done()
    return board


def _virtual(table: _Table | None) -> Virtual | None:
    if table is None:
        return None
    made = Virtual(
        runner=table.one_of("runner", _RUNNERS),
        machine=table.string("machine"),
        program=table.text("program"),
        arguments=table.strings("arguments"),
        package=table.text("package"),
        clock=table.one_of("clock", _CLOCKS) if "clock" in table.values else "own",
        counter=_counter(table.table("counter", optional=True)),
    )
    table.done()
    return made


def _counter(table: _Table | None) -> Counter | None:
    if table is None:
        return None
    bits = table.integer("bits", 32, 64)
    if bits % 32:
        table.fail("bits", f"{bits} is neither 32 nor 64")
    made = Counter(table.integer("address", 0, 0xFFFF_FFFF), bits, table.integer("hz", 1_000, 10_000_000_000))
    table.done()
    return made


def _build(table: _Table) -> dict[str, tuple[str, ...]]:
    made = {toolchain: table.strings(toolchain) for toolchain in _TOOLCHAINS if toolchain in table.values}
    if not made:
        table.fail("zig", f"no flags for any toolchain ({', '.join(_TOOLCHAINS)})")
    for key in _TOOLCHAINS:
        table.seen.add(key)
    table.done()
    return made


_FLASH_TOOLS = ("pyocd", "esptool", "uf2", "picotool")


def _flash(table: _Table | None) -> tuple[dict[str, str], Identity | None, Region | None, Loader | None]:
    if table is None:
        return {}, None, None, None
    tools = {key: table.string(key) for key in table.values if key in _FLASH_TOOLS}
    if not tools:
        table.fail("pyocd", f"no tool ({', '.join(_FLASH_TOOLS)})")
    word = table.table("identity", optional=True)
    identity = None
    if word is not None:
        address, mask, value = (word.integer(key, 0, 0xFFFF_FFFF) for key in ("address", "mask", "value"))
        identity = Identity(address, mask, value)
        word.done()
    space = table.table("buffers", optional=True)
    buffers = None
    if space is not None:
        buffers = _span(space, 256)
        space.done()
    code = table.table("loader", optional=True)
    loader = None
    if code is not None:
        source = code.string("source")
        if not source.isidentifier():
            code.fail("source", f"{source!r} does not name a file of firmware/loader, without its ending")
        loader = Loader(source, code.integer("sector", 256, 1 << 16))
        code.done()
    table.done()
    return tools, identity, buffers, loader


def _network(table: _Table | None) -> tuple[dict[str, NetworkPort], str | None]:
    if table is None:
        return {}, None
    ports: dict[str, NetworkPort] = {}
    for name in PORTS:
        if (port := table.table(name, optional=True)) is not None:
            ports[name] = NetworkPort(
                port.number("frame", "a number of cycles"),
                port.number("word", "a number of cycles"),
                port.number("byte", "a number of cycles"),
                port.integer("most_bps", 300, 10**11),
            )
            port.done()
    default = table.string("default")
    table.done()
    try:
        found = wire(default)
    except UsageError as error:
        table.fail("default", error.message)
    if found.port not in ports:
        table.fail("default", f"{default!r} needs a port {found.port!r}; there are: {', '.join(ports) or 'none'}")
    if found.bits_per_second > ports[found.port].most_bps:
        table.fail("default", f"{default!r} is faster than the {ports[found.port].most_bps} bits a second of its port")
    return ports, default


def _region(memory: _Table, key: str) -> Region:
    table = memory.need(key)
    region = _span(table, 1)
    table.done()
    return region


def _span(table: _Table, least: int) -> Region:
    """`address` and `bytes` of a region that lies in 32 bits of address."""
    region = Region(table.integer("address", 0, 0xFFFF_FFFF), table.integer("bytes", least, 0x1_0000_0000))
    if region.end > 0x1_0000_0000:
        table.fail("bytes", f"{region.bytes} bytes from {region.address:#x} reach beyond 32 bits of address")
    return region


def _stack(memory: _Table) -> tuple[Region, int]:
    table = memory.need("stack")
    region = _span(table, 256)
    per_core = table.integer("per_core", 256, region.bytes)
    table.done()
    return region, per_core


def _costs(table: _Table) -> tuple[dict[str, Cost], float, float]:
    """Costs by kernel, of a step, and of a run. Which kernels there are is the planner's business."""
    costs: dict[str, Cost] = {}
    step = table.number("step", "a number of cycles")
    run = table.number("run", "a number of cycles") if "run" in table.values else 0.0
    for key, value in table.values.items():
        if key in ("step", "run"):
            continue
        if isinstance(value, dict):
            line = table.need(key)
            costs[key] = Cost(tuple((count, line.number(count, "a number of cycles")) for count in value))
        elif isinstance(value, list) and len(value) == 2 and all(map(_cycles, value)):
            costs[key] = Cost((("macs", float(value[0])), ("outputs", float(value[1]))))
        else:
            table.fail(key, f"expected [cycles per MAC, cycles per output] or {{ count = cycles }}, found {value!r}")
    return costs, step, run


def _cycles(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST_CYCLES


def names() -> tuple[str, ...]:
    """The boards that have a description, in alphabetical order."""
    return tuple(sorted(path.stem for path in BOARDS.glob("*.toml")))


def load(name: str) -> Board:
    """The board called `name`, which may end with what it has less of: `rp2040:62.5MHz:64K` runs at 62.5 MHz and lets a
    plan have 64 KiB of RAM. Raises `UsageError` for an unknown name, `BoardFileError` for a bad description.
    """
    kind, *limits = name.split(":")
    if kind not in names():
        raise UsageError(f"no board is called {kind!r}; known: {', '.join(names())}", hint="hil boards")
    board = _described(kind)
    for limit in limits:
        board = _limited(board, name, limit)
    return replace(board, name=name)


_LIMIT = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)MHz|(\d{1,6})K")


def _limited(board: Board, name: str, limit: str) -> Board:
    found = _LIMIT.fullmatch(limit)
    if found is None or len(name) > _LONGEST_NAME:
        raise UsageError(
            f"board {name!r}: {limit!r} is neither a clock nor RAM", hint=f"such as {board.name}:62.5MHz:64K"
        )
    if found[2]:
        ram = int(found[2]) * 1024
        if not 1024 <= ram <= board.ram.bytes:
            raise UsageError(f"board {name!r}: {board.name} has {board.ram.bytes // 1024}K of RAM to take from")
        return replace(board, ram=replace(board.ram, bytes=ram))
    clock = round(float(found[1]) * 1_000_000) or 1
    if board.clock_hz % clock or not 1 <= board.clock_hz // clock <= board.divisions:
        by = (
            f"is divided by a whole number up to {board.divisions}" if board.divisions > 1 else "is the only one it has"
        )
        raise UsageError(f"board {name!r}: its clock of {board.clock_hz / 1e6:g} MHz {by}")
    return replace(board, clock_hz=clock)


_LONGEST_NAME = 31
"""What a device can tell of its name."""


def _described(name: str) -> Board:
    file = BOARDS / f"{name}.toml"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BoardFileError(f"{file.name}: cannot be read: {error}") from error
    return parse(file, text)
