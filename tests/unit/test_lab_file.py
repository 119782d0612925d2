"""Lab files: what they mean, and messages that name file, key and value where they mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.bench import lab
from hil.bench.lab import Command, CommandPower, FlashTool, HubPower, LabBoard
from hil.errors import LabFileError, UsageError

FILE = Path("bench.toml")
FLASH = """{ command = "openocd -c 'program {elf} verify reset exit'" }"""
GOOD = """
schema = 1
wait = 60
state = "/var/lib/hil"

[board.pico-a]
kind = "rp2040"
serial = "E6614C311B7D8A2F"
location = "1-1.2"
probe = "E661410403"
baud = 115200
flash = { command = "openocd -c 'program {elf} verify reset exit'" }
reset = "openocd -c 'init; reset; exit'"
power = { hub = "1-1", port = 2, settle = 0.5 }
clock_ppm = -12.5

[board.pico-b]
kind = "rp2040"
port = "/dev/serial/by-id/usb-Raspberry_Pi_Debug_Probe-if01"
power = { on = "relay 1 on", off = "relay 1 off" }

[board.desk]
kind = "rp2350"
virtual = "127.0.0.1:4000"

[link.pair]
wire = "uart-3M"
boards = ["pico-a", "pico-b"]
"""


def test_every_key_is_read() -> None:
    found = lab.parse(FILE, GOOD)
    a, b, desk = found.boards
    assert a == LabBoard(
        "pico-a", "rp2040", serial="E6614C311B7D8A2F", location="1-1.2", probe="E661410403", baud=115_200,
        flash=Command(("openocd", "-c", "program {elf} verify reset exit")),
        reset=Command(("openocd", "-c", "init; reset; exit")), power=HubPower("1-1", 2, 0.5), clock_ppm=-12.5,
    )  # fmt: skip
    assert b.baud == 921_600, "the board's own, where the file says nothing"
    assert b.power == CommandPower(Command(("relay", "1", "on")), Command(("relay", "1", "off")), 1.0)
    assert desk.virtual == ("127.0.0.1", 4000)
    assert [one.source for one in found.boards] == ["hardware", "hardware", "virtual"]
    assert (found.wait, found.state) == (60, Path("/var/lib/hil"))
    assert found.of("rp2040") == (a, b)
    assert a.console == "uart"
    assert found.links[0].boards == ("pico-a", "pico-b")
    with pytest.raises(UsageError, match="has no board 'c'; it has: pico-a, pico-b, desk"):
        found.named("c")


@pytest.mark.parametrize(
    ("flash", "want"),
    [
        ("{ tool = 'pyocd' }", FlashTool("pyocd", "E661410403")),
        ("{ tool = 'picotool' }", FlashTool("picotool", "E6614C311B7D8A2F")),
        ("{ tool = 'uf2' }", FlashTool("uf2", None)),
        ("{ tool = 'uf2', drive = '/media/x' }", FlashTool("uf2", "/media/x")),
    ],
)
def test_a_tool_and_what_it_knows_the_board_by(flash: str, want: FlashTool) -> None:
    assert lab.parse(FILE, GOOD.replace(FLASH, flash)).boards[0].flash == want


def test_a_command_is_filled_word_by_word() -> None:
    """A path with blanks stays one word, and text in it is not taken for a field."""
    filled = Command(("flash", "{elf}", "--port={port}", "{probe}")).filled(
        {"elf": "/a b/{port}.elf", "port": "/dev/x", "probe": None}
    )
    assert filled == ["flash", "/a b/{port}.elf", "--port=/dev/x", ""]


def test_a_board_with_its_console_in_ram_is_recognised_by_its_probe() -> None:
    text = 'schema = 1\n[board.x]\nkind = "rp2350"\nconsole = "rtt"\nprobe = "E66"\nflash = { tool = "pyocd" }'
    (board,) = lab.parse(FILE, text).boards
    assert (board.identity, board.console, board.source) == ("probe E66", "rtt", "hardware")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema: expected a whole number in 1..1, found 2"),
        ("schema = 1", "", "schema: expected a whole number in 1..1, found None"),
        ("wait = 60", "wait = -1", "wait: expected a number in 0..86400, found -1"),
        ("wait = 60", "wait = nan", "wait: expected a number in 0..86400, found nan"),
        ('"/var/lib/hil"', '"here"', "state: 'here' is not an absolute path"),
        ('kind = "rp2040"\nserial', 'kind = "pico"\nserial', "board.pico-a.kind: 'pico' is not one of "),
        ('kind = "rp2040"\nserial', "serial", "board.pico-a.kind: missing"),
        ("baud = 115200", 'baud = "fast"', "board.pico-a.baud: expected a whole number in 300..12000000, found 'fast'"),
        ("{elf}", "{image}", "board.pico-a.flash.command: {image} is unknown; known here: {elf}, "),
        ("{ command =", "{ tool = 'uf2', command =", "board.pico-a.flash.command: a board is flashed by a command, or"),
        (FLASH, "{ drive = '/x' }", "board.pico-a.flash.command: a board is flashed by a command, or by a tool"),
        (FLASH, "{ tool = 'jlink' }", "board.pico-a.flash.tool: 'jlink' does not flash a rp2040; known for"),
        (FLASH, "{ tool = 'pyocd', drive = '/x' }", "board.pico-a.flash.drive: '/x' is for uf2, not for pyocd"),
        ('serial = "E6614C311B7D8A2F"\nlocation = "1-1.2"\nprobe = "E661410403"\nbaud = 115200\n' + f"flash = {FLASH}",
         "port = 'socket://x:1'\nflash = { tool = 'picotool' }", "board.pico-a.serial: missing; picotool wants"),
        (f'probe = "E661410403"\nbaud = 115200\nflash = {FLASH}', "flash = { tool = 'pyocd' }",
         "board.pico-a.probe: missing; pyocd wants"),
        ("init; reset; exit'", "init", "board.pico-a.reset: \"openocd -c 'init\" is no command line: "),
        ("port = 2", "port = 0", "board.pico-a.power.port: expected a whole number in 1..64, found 0"),
        (', off = "relay 1 off"', "", "board.pico-b.power.off: missing; a switch is hub and port, or "),
        ("[board.pico-b]", "[board.'pico b']", "board.pico b: names are letters, digits"),
        ("clock_ppm", "clock_pm", "board.pico-a.clock_pm: unknown key (known here: "),
        ('location = "1-1.2"', 'port = "/dev/x"', "board.pico-a.port: a board is recognised by exactly one of "),
        ('serial = "E6614C311B7D8A2F"\n', "", "board.pico-a.port: a board is recognised by exactly one of "),
        ("/dev/serial/by-id/usb-Raspberry_Pi_Debug_Probe-if01", "/dev/ttyACM0", "is another board after the next"),
        ('port = "/dev/serial/by-id/usb-Raspberry_Pi_Debug_Probe-if01"',
         'serial = "E6614C311B7D8A2F"\nlocation = "1-1.2"',
         "board.pico-b.serial: 'E6614C311B7D8A2F 1-1.2' is also what board.pico-a is recognised by"),
        ('kind = "rp2350"', 'kind = "rp2040"', "board.desk.kind: board.pico-a is a hardware rp2040, "),
        ("127.0.0.1:4000", "4000", "board.desk.virtual: '4000' is not HOST:PORT"),
        ('virtual = "127.0.0.1:4000"', 'virtual = "127.0.0.1:4000"\nreset = "x"',
         "board.desk.virtual: a virtual board's desk"),
        ('wire = "uart-3M"', 'wire = "string"', "link.pair.wire: 'string': no wire is called 'string'"),
        ('"pico-a", "pico-b"]', '"pico-a", "pico-c"]', "link.pair.boards: 'pico-c' is not one of pico-a, pico-b, desk"),
        ('"pico-a", "pico-b"]', '"pico-a", "pico-a"]', "names a board twice"),
        ('"pico-a", "pico-b"]', '"pico-a"]', "link.pair.boards: expected a list of two boards or more"),
        ("clock_ppm = -12.5", 'console = "usb"', "board.pico-a.console: 'usb' is not one of uart, rtt, which a rp2040"),
        ("clock_ppm = -12.5", 'console = "rtt"', "board.pico-a.console: 'rtt' is behind a probe: it wants flash = {"),
        (f"flash = {FLASH}", "flash = { tool = 'pyocd' }\nconsole = 'rtt'",
         "board.pico-a.serial: a board with console = \"rtt\" is recognised by its probe"),
        ("schema = 1", "schema = ", "bench.toml: not TOML: "),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_file_key_and_value(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(LabFileError) as caught:
        lab.parse(FILE, GOOD.replace(old, new, 1))
    assert caught.value.message.startswith("bench.toml: ")
    assert message in caught.value.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LabFileError, match=r"absent\.toml: No such file"):
        lab.load(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(LabFileError, match="not text in UTF-8"):
        lab.load(tmp_path / "binary.toml")
    (tmp_path / "long.toml").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(LabFileError, match="longer than 1048576 bytes"):
        lab.load(tmp_path / "long.toml")
