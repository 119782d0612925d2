"""Lab files: which boards are on a bench, by what they are recognised, and how each is flashed and powered.

    schema = 1

    [board.pico-a]
    kind = "rp2040"
    serial = "E6614C311B7D8A2F"             # of the USB device whose port is the board's console
    probe = "E6614103E7171B29"
    flash = { tool = "pyocd" }
    power = { hub = "1-1", port = 2 }

Parsed once into typed values; docs/lab.md has every key. No hardware is touched here.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hil import board as boards
from hil.bench.station import Source
from hil.errors import LabFileError, UsageError
from hil.flash import tools
from hil.wire import Wire, wire

WAIT = 1800.0
"""Seconds to wait for a board that somebody else holds, where the lab file does not say."""
HEALTH = 0.7
"""Boards of a poorer health than this are set aside, where the lab file does not say (see `hil.record.health`)."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_LONGEST = 1 << 20
_FIELDS = ("elf", "bin", "uf2", "port", "serial", "probe")
"""What a command of a lab file may name in braces."""


@dataclass(frozen=True)
class Command:
    """A command line of a lab file, cut into words; it is run without a shell."""

    words: tuple[str, ...]

    def filled(self, values: dict[str, str | None]) -> list[str]:
        """Its words, with `{elf}` and the like replaced. A value of None leaves an empty word."""
        return [re.sub(r"\{(\w+)\}", lambda found: values[found[1]] or "", word) for word in self.words]


@dataclass(frozen=True)
class FlashTool:
    """A tool of `hil.flash`, and what it knows the board by: a probe's id, a drive, or None for the console."""

    tool: str
    target: str | None


@dataclass(frozen=True)
class CommandPower:
    """A switch that two commands turn. `settle`: seconds between off and on, and after on."""

    on: Command
    off: Command
    settle: float


@dataclass(frozen=True)
class HubPower:
    """A port of a USB hub that switches its power: uhubctl's location and port."""

    hub: str
    port: int
    settle: float


@dataclass(frozen=True)
class LabBoard:
    """One board of a lab.

    It is recognised by `port`, a by-id path or URL; or by `serial` and `location`, of the USB device that is its
    console; or, if it is a virtual one on a desk (see `hil.virtual.desk`), by `virtual`, the desk's address for it.
    `clock_ppm`: how many millionths its clock is known to be fast.
    """

    name: str
    kind: str
    port: str | None = None
    serial: str | None = None
    location: str | None = None
    virtual: tuple[str, int] | None = None
    probe: str | None = None
    baud: int = 0
    flash: Command | FlashTool | None = None
    reset: Command | None = None
    power: CommandPower | HubPower | None = None
    clock_ppm: float = 0.0
    console: str = "uart"
    """Or "rtt": in its RAM, behind its probe, by which it is recognised then."""

    @property
    def source(self) -> Source:
        """Numbers of a virtual board never pass for those of hardware, wherever it is."""
        return "hardware" if self.virtual is None else "virtual"

    @property
    def identity(self) -> str:
        """What it is recognised by, as text; the same whatever a lab file calls the board."""
        if self.virtual is not None:
            return f"virtual {self.virtual[0]}:{self.virtual[1]}"
        if self.port is not None:
            return f"port {self.port}"
        if self.console == "rtt":
            return f"probe {self.probe}"
        return " ".join(["serial", self.serial or "", *([self.location] if self.location else [])])


@dataclass(frozen=True)
class LabLink:
    """Boards that are wired to each other; the n-th is node n."""

    name: str
    wire: Wire
    boards: tuple[str, ...]


@dataclass(frozen=True)
class Lab:
    """A parsed lab file. `state`: the folder for leases and quarantines, None for the user's own.

    `health`: a board whose score is below that is set aside; 0: never.
    """

    file: Path
    boards: tuple[LabBoard, ...]
    links: tuple[LabLink, ...] = ()
    wait: float = WAIT
    state: Path | None = None
    health: float = HEALTH

    def of(self, kind: str) -> tuple[LabBoard, ...]:
        """Its boards of a kind."""
        return tuple(board for board in self.boards if board.kind == kind)

    def named(self, name: str) -> LabBoard:
        """A board by its name here. Raises `UsageError`."""
        for board in self.boards:
            if board.name == name:
                return board
        known = ", ".join(board.name for board in self.boards) or "none"
        raise UsageError(f"{self.file} has no board {name!r}; it has: {known}", hint="hil boards")


class _Section:
    """A TOML table, read key by key: errors name file, key and value, and keys that nobody asked for are noticed."""

    def __init__(self, file: Path, path: str, values: dict[str, Any]) -> None:
        self.file, self.path, self.values = file, path, values
        self.seen: set[str] = set()

    def fail(self, key: str, why: str) -> NoReturn:
        raise LabFileError(f"{self.file}: {self.path}{key}: {why}", hint="hil lab check")

    def text(self, key: str) -> str | None:
        self.seen.add(key)
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self.fail(key, f"expected text, found {value!r}")
        return value

    def need(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            self.fail(key, "missing")
        return value

    def number(self, key: str, low: float, high: float, default: float) -> float:
        self.seen.add(key)
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fail(key, f"expected a number in {low:g}..{high:g}, found {value!r}")
        return float(value)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self.values.get(key, default)
        self.seen.add(key)
        if type(value) is not int or not low <= value <= high:
            self.fail(key, f"expected a whole number in {low}..{high}, found {value!r}")
        return value

    def section(self, key: str) -> _Section | None:
        self.seen.add(key)
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fail(key, f"expected a table, found {value!r}")
        return _Section(self.file, f"{self.path}{key}.", value)

    def sections(self, key: str) -> list[tuple[str, _Section]]:
        """The tables below a table, by their names."""
        top = self.section(key)
        if top is None:
            return []
        for name in top.values:
            if not _NAME.match(name):
                top.fail(name, "names are letters, digits, '.', '_' and '-', 64 at most")
        found = [(name, top.section(name)) for name in top.values]
        return [(name, table) for name, table in found if table is not None]

    def command(self, key: str) -> Command | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            self.fail(key, f"{text!r} is no command line: {error}")
        for name in re.findall(r"\{(\w+)\}", text):
            if name not in _FIELDS:
                self.fail(key, f"{{{name}}} is unknown; known here: {', '.join(f'{{{f}}}' for f in _FIELDS)}")
        return Command(words)

    def done(self) -> None:
        if extra := sorted(set(self.values) - self.seen):
            self.fail(extra[0], f"unknown key (known here: {', '.join(sorted(self.seen))})")


def load(file: Path) -> Lab:
    """The lab that `file` describes. Raises `LabFileError`."""
    try:
        with file.open("rb") as handle:
            data = handle.read(_LONGEST + 1)
        text = data.decode()
    except OSError as error:
        raise LabFileError(f"{file}: {error.strerror}", hint="hil lab suggest") from error
    except UnicodeDecodeError as error:
        raise LabFileError(f"{file}: not text in UTF-8") from error
    if len(data) > _LONGEST:
        raise LabFileError(f"{file}: longer than {_LONGEST} bytes")
    return parse(file, text)


def parse(file: Path, text: str) -> Lab:
    """A lab from TOML text; `file` names it in messages. Raises `LabFileError`."""
    try:
        top = _Section(file, "", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise LabFileError(f"{file}: not TOML: {error}") from error
    top.integer("schema", 1, 1)
    found: dict[str, LabBoard] = {}
    sections = top.sections("board")
    for name, section in sections:
        board = _board(name, section)
        _check_unlike(section, board, found)
        found[name] = board
    links = tuple(_link(name, section, found) for name, section in top.sections("link"))
    state = top.text("state")
    lab = Lab(
        file,
        tuple(found.values()),
        links,
        top.number("wait", 0, 86_400, WAIT),
        Path(state) if state else None,
        top.number("health", 0, 1, HEALTH),
    )
    if lab.state is not None and not lab.state.is_absolute():
        top.fail("state", f"{state!r} is not an absolute path")
    top.done()
    return lab


def _board(name: str, section: _Section) -> LabBoard:
    kind = section.need("kind")
    if kind not in boards.names():
        section.fail("kind", f"{kind!r} is not one of {', '.join(boards.names())}")
    virtual = _address(section)
    board = LabBoard(
        name=name,
        kind=kind,
        port=section.text("port"),
        serial=section.text("serial"),
        location=section.text("location"),
        virtual=virtual,
        probe=section.text("probe"),
        baud=section.integer("baud", 300, 12_000_000, boards.load(kind).baud),
        flash=_flash(section, kind),
        reset=section.command("reset"),
        power=_power(section.section("power")),
        clock_ppm=section.number("clock_ppm", -100_000, 100_000, 0.0),
        console=section.text("console") or "uart",
    )
    section.done()
    _check_console(section, board)
    if board.console == "uart" and [board.port, board.serial, board.virtual].count(None) != 2:
        section.fail("port", "a board is recognised by exactly one of port, serial and virtual")
    if board.location is not None and board.serial is None:
        section.fail("location", f"{board.location!r} tells ports with one serial number apart; there is no serial")
    if board.port is not None and "://" not in board.port and re.match(r"/dev/tty\w+\d\Z", board.port):
        by_id = "/dev/serial/by-id/... or /dev/serial/by-path/..."
        section.fail("port", f"{board.port!r} is another board after the next reboot; write {by_id}")
    if virtual is not None and (board.flash or board.reset or board.power):
        section.fail("virtual", "a virtual board's desk flashes, resets and powers it; leave flash, reset, power out")
    return board


def _check_console(section: _Section, board: LabBoard) -> None:
    known = boards.load(board.kind).consoles
    if board.console not in known:
        section.fail("console", f"{board.console!r} is not one of {', '.join(known)}, which a {board.kind} can have")
    if board.console != "rtt":
        return
    if not (isinstance(board.flash, FlashTool) and board.flash.tool == "pyocd"):
        section.fail("console", "'rtt' is behind a probe: it wants flash = { tool = \"pyocd\" }")
    for key in ("port", "serial", "virtual"):
        if section.values.get(key) is not None:
            section.fail(key, 'a board with console = "rtt" is recognised by its probe; leave port and serial out')


def _address(section: _Section) -> tuple[str, int] | None:
    text = section.text("virtual")
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        section.fail("virtual", f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _flash(section: _Section, kind: str) -> Command | FlashTool | None:
    """A command, or a tool with its target: pyocd wants a probe, picotool a serial number; uf2 a drive, or it is asked
    for by the console.
    """
    table = section.section("flash")
    if table is None:
        return None
    command, tool, drive = table.command("command"), table.text("tool"), table.text("drive")
    table.done()
    if tool is None or command is not None:
        if command is None or tool is not None or drive is not None:
            table.fail("command", "a board is flashed by a command, or by a tool (and drive, for uf2)")
        return command
    known = [name for name in tools() if name in boards.load(kind).flash_tools]
    if tool not in known:
        table.fail("tool", f"{tool!r} does not flash a {kind}; known for it: {', '.join(known) or 'none'}")
    if drive is not None and tool != "uf2":
        table.fail("drive", f"{drive!r} is for uf2, not for {tool}")
    probe = section.text("probe")
    if tool == "pyocd" and probe is None:
        section.fail("probe", "missing; pyocd wants the unique id of the board's probe ('pyocd list')")
    serial = section.text("serial")
    if tool == "picotool" and serial is None:
        section.fail("serial", "missing; picotool wants the serial number of the board on USB")
    return FlashTool(tool, {"pyocd": probe, "picotool": serial}.get(tool, drive))


def _power(table: _Section | None) -> CommandPower | HubPower | None:
    if table is None:
        return None
    made: CommandPower | HubPower
    settle = table.number("settle", 0, 60, 1.0)
    if "hub" in table.values:
        made = HubPower(table.need("hub"), table.integer("port", 1, 64), settle)
    else:
        on, off = table.command("on"), table.command("off")
        if on is None or off is None:
            table.fail("on" if on is None else "off", "missing; a switch is hub and port, or the commands on and off")
        made = CommandPower(on, off, settle)
    table.done()
    return made


def _check_unlike(section: _Section, board: LabBoard, others: dict[str, LabBoard]) -> None:
    """Refuse a board that would be taken for another one, or mixed up with virtual ones of its kind."""
    for other in others.values():
        if other.identity == board.identity:
            key = board.identity.split()[0]
            section.fail(key, f"{board.identity.partition(' ')[2]!r} is also what board.{other.name} is recognised by")
        if other.kind == board.kind and other.source != board.source:
            section.fail("kind", f"board.{other.name} is a {other.source} {board.kind}, this one is {board.source}")


def _link(name: str, section: _Section, known: dict[str, LabBoard]) -> LabLink:
    text = section.need("wire")
    try:
        found = wire(text)
    except UsageError as error:
        section.fail("wire", f"{text!r}: {error.message}")
    section.seen.add("boards")
    members = section.values.get("boards")
    if not isinstance(members, list) or len(members) < 2 or not all(isinstance(m, str) for m in members):
        section.fail("boards", f"expected a list of two boards or more, found {members!r}")
    for member in members:
        if member not in known:
            section.fail("boards", f"{member!r} is not one of {', '.join(known)}")
    if len(set(members)) != len(members):
        section.fail("boards", f"{members!r} names a board twice")
    section.done()
    return LabLink(name, found, tuple(members))
