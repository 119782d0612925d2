"""Ports by identity, commands of a lab file, discovery: with played USB devices and commands that are real programs."""

from __future__ import annotations

import os
import shlex
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hil.bench import choose, discover, hands, lab, ports
from hil.bench.choose import Where
from hil.bench.discover import Drive
from hil.bench.lab import Command, CommandPower, HubPower, LabBoard
from hil.bench.ports import UsbPort
from hil.bench.state import State
from hil.bench.station import silent
from hil.board import load
from hil.errors import BoardMissing, FlashFailed, InfrastructureError, LinkTimeout, StateFailed, ToolMissing, UsageError
from tests.support.fakes import deployed

PROBE = UsbPort("/dev/ttyACM0", "E661", "1-1.2:1.1", 0x2E8A, 0x000C, "Debug Probe")
TWIN = replace(PROBE, device="/dev/ttyACM1", location="1-1.3:1.1")
OTHER = UsbPort("/dev/ttyACM2", "B000", "1-2:1.0", 0x1234, 0x0001, "a modem")
PICO = LabBoard("pico-a", "rp2040", serial="E661", baud=921_600)
IMAGE = deployed().image


def plug(monkeypatch: pytest.MonkeyPatch, *found: UsbPort) -> None:
    """Let these be plugged in, and no others."""
    monkeypatch.setattr(ports, "usb_ports", lambda: found)
    monkeypatch.setattr(discover, "usb_ports", lambda: found)


def script(text: str) -> str:
    """A command line that runs some Python; its arguments can follow."""
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(text)}"


def board(**settings: str) -> LabBoard:
    """A board of a lab file; `settings` are TOML values."""
    rows = "\n".join(f"{key} = {value}" for key, value in settings.items())
    return lab.parse(Path("lab.toml"), f'schema = 1\n[board.a]\nkind = "rp2040"\nport = "loop://"\n{rows}\n').boards[0]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- ports -------------------------------------------------------------------------------------------------------------


def test_a_port_is_found_by_its_serial_number_whatever_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, OTHER, PROBE)
    assert ports.resolve(PICO) == "/dev/ttyACM0"
    plug(monkeypatch, OTHER, replace(PROBE, device="/dev/ttyACM7"))
    assert ports.resolve(PICO) == "/dev/ttyACM7"


def test_a_port_that_vanished_is_waited_for_and_found_under_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [(), (OTHER,), (replace(PROBE, device="/dev/ttyACM7"),)]
    monkeypatch.setattr(ports, "usb_ports", lambda: looks.pop(0))
    monkeypatch.setattr(ports, "_LOOK", 0)
    assert ports.wait_for(lambda: ports.resolve(PICO)) == "/dev/ttyACM7"
    plug(monkeypatch, OTHER)
    with pytest.raises(BoardMissing, match=r"pico-a: no port carries serial E661; .* that are: /dev/ttyACM2 \(B000\)"):
        ports.wait_for(lambda: ports.resolve(PICO), limit=0)


def test_two_identical_boards_are_told_apart_by_their_place_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, PROBE, TWIN)
    with pytest.raises(BoardMissing, match=r"2 ports carry serial E661: .*; nobody can tell which") as caught:
        ports.resolve(PICO)
    assert 'location = "1-1.2:1.1"' in str(caught.value.hint)
    assert ports.resolve(replace(PICO, location="1-1.3")) == "/dev/ttyACM1"


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BoardMissing, match=r"a: there is no port .*by-id-x; is it plugged in"):
        ports.resolve(LabBoard("a", "rp2040", port=str(tmp_path / "by-id-x")))


def test_a_port_that_may_not_be_opened_gives_the_udev_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, PROBE)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BoardMissing, match="pico-a: permission denied on /dev/ttyACM0") as caught:
        ports.check_allowed(PICO, "/dev/ttyACM0")
    hint = str(caught.value.hint)
    assert """echo 'SUBSYSTEM=="tty", ATTRS{idVendor}=="2e8a", MODE="0660", GROUP="dialout", TAG+="uaccess"'""" in hint
    assert "/etc/udev/rules.d/60-hil.rules" in hint
    ports.check_allowed(PICO, "socket://127.0.0.1:1")


# -- commands ----------------------------------------------------------------------------------------------------------


def test_a_flash_command_gets_the_image_and_the_probe(own_cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "said"
    command = script(f"import sys; open({str(out)!r}, 'w').write(repr(sys.argv[1:]))") + " {elf} --probe={probe}"
    hands.hands_for(board(flash=f"{{ command = {quoted(command)} }}", probe='"P1"')).flash(IMAGE, say=silent)
    assert out.read_text() == "['absent.elf', '--probe=P1']"
    assert (own_cache / "lab" / "a-flash.log").read_text().startswith(f"$ {sys.executable} -c ")


def test_a_command_that_fails_says_what_it_said(own_cache: Path) -> None:
    """Such as a probe that another program holds."""
    command = script("print('Error: unable to claim interface: resource busy'); raise SystemExit(3)")
    with pytest.raises(FlashFailed) as caught:
        hands.hands_for(board(flash=f"{{ command = {quoted(command)} }}")).flash(IMAGE, say=silent)
    assert caught.value.message.startswith("a at port loop://: flash by ")
    assert "ended with status 3: Error: unable to claim interface: resource busy" in caught.value.message
    assert caught.value.hint == f"cat {own_cache / 'lab' / 'a-flash.log'}"


def test_commands_that_cannot_run(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolMissing, match="a: flash needs no-such-flasher, which is not installed"):
        hands.hands_for(board(flash='{ command = "no-such-flasher {elf}" }')).flash(IMAGE, say=silent)
    with pytest.raises(FlashFailed, match=r"its flash command wants \{uf2\}, which no rp2040 has"):
        hands.hands_for(board(flash='{ command = "cp {uf2} /drive" }')).flash(IMAGE, say=silent)
    with pytest.raises(FlashFailed, match="the lab file does not say how it is flashed"):
        hands.hands_for(board()).flash(IMAGE, say=silent)
    monkeypatch.setattr(hands, "FLASH_LIMIT", 0.2)
    endless = script("import signal; signal.pause()")
    with pytest.raises(FlashFailed, match=r"a: flash took longer than 0\.2 s"):
        hands.hands_for(board(flash=f"{{ command = {quoted(endless)} }}")).flash(IMAGE, say=silent)


def test_a_full_disk_is_named(own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / "lab").mkdir()
    (own_cache / "lab" / "a-flash.log").symlink_to("/dev/full")
    with pytest.raises(StateFailed, match="No space left on device") as caught:
        hands.hands_for(board(flash=f"{{ command = {quoted(script('pass'))} }}")).flash(IMAGE, say=silent)
    assert str(caught.value.hint).startswith("df -h ")


def test_power_by_commands_and_by_hub(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "said"
    say = f"import sys; open({str(said)!r}, 'a').write(' '.join(sys.argv[1:]) + ';')"
    switch = CommandPower(Command((sys.executable, "-c", say, "on")), Command((sys.executable, "-c", say, "off")), 0)
    hands.hands_for(replace(board(), power=switch)).power_cycle()
    assert said.read_text() == "off;on;"
    (tmp_path / "uhubctl").write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    (tmp_path / "uhubctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    hands.hands_for(replace(board(), power=HubPower("1-1", 2, 0))).power_cycle()
    assert said.read_text() == "off;on;-l 1-1 -p 2 -a cycle -d 0\n"
    assert hands.hands_for(board()).ways == frozenset()
    failing = replace(switch, on=Command((sys.executable, "-c", "raise SystemExit('relay: no answer')")))
    with pytest.raises(InfrastructureError, match=r"power on by .* relay: no answer"):
        hands.hands_for(replace(board(), power=failing)).power_cycle()


def test_a_clock_that_is_known_to_be_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic_ns", lambda: 1_000_000_000)
    assert hands.hands_for(board()).clock_ns() == 1_000_000_000
    assert hands.hands_for(board(clock_ppm="-12.5")).clock_ns() == 1_000_000_000 - 12_500


# -- what is plugged in ------------------------------------------------------------------------------------------------


def test_nothing_plugged_in_is_the_virtual_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(monkeypatch, OTHER)
    monkeypatch.setattr(discover, "ask", lambda port: pytest.fail("a modem was talked to"))
    assert choose.bench_for(load("rp2040")).title == "virtual bench"
    with pytest.raises(BoardMissing, match="--hil-require-hardware takes no virtual one"):
        choose.bench_for(load("rp2040"), Where(hardware=True))


def test_a_board_that_says_what_it_is_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIL_STATE_DIR", str(tmp_path))
    plug(monkeypatch, PROBE, OTHER)
    monkeypatch.setattr(discover, "ask", lambda port: "rp2040" if port == PROBE else pytest.fail("a modem"))
    bench = choose.bench_for(load("rp2040"))
    assert (bench.source, bench.title) == ("hardware", "hardware bench, what is plugged in")
    assert choose.bench_for(load("rp2350")).source == "virtual"
    assert choose.bench_for(load("rp2040"), Where("virtual")).source == "virtual"
    # One that is held is not talked to: its holder says what it is.
    handle = State(tmp_path).try_lease("serial E661", "rp2350")
    assert handle is not None
    assert choose.bench_for(load("rp2350")).source == "hardware"
    assert choose.bench_for(load("rp2040")).source == "virtual"
    os.close(handle)


@pytest.mark.parametrize(("answers_at", "kind"), [(921_600, "rp2040"), (115_200, "nucleo-l4r5zi"), (9_600, None)])
def test_a_port_is_asked_at_every_rate_that_boards_have(
    monkeypatch: pytest.MonkeyPatch, answers_at: int, kind: str | None
) -> None:
    tried: list[int] = []

    class Asked:
        def __init__(self, baud: int) -> None:
            self.baud = baud

        def __enter__(self) -> Asked:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def hello(self) -> object:
            if self.baud != answers_at:
                raise LinkTimeout("no valid answer")
            return SimpleNamespace(board=kind)

    def opened(device: str, baud: int, **how: object) -> Asked:
        assert (device, set(how)) == (PROBE.device, {"timeout", "tries"})
        tried.append(baud)
        return Asked(baud)

    monkeypatch.setattr(discover.Link, "open", opened)
    assert discover.ask(PROBE) == kind
    assert tried[0] == 921_600, "the rate of most boards"
    assert len(tried) == len(set(tried))
    assert set(tried) <= {921_600, 1_000_000, 115_200}


def test_a_port_that_cannot_be_opened_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def refused(device: str, baud: int, **how: object) -> None:
        tried.append(baud)
        raise BoardMissing(f"{device}: permission denied")

    monkeypatch.setattr(discover.Link, "open", refused)
    assert discover.ask(PROBE) is None
    assert len(tried) == 1


def test_looking_costs_little_where_nothing_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ports, "_DEVICES", ("no-such-device*",))
    pico = load("rp2040")
    best = 1.0
    for _ in range(5):
        began = time.perf_counter()
        assert choose.bench_for(pico).source == "virtual"
        best = min(best, time.perf_counter() - began)
    assert best < 0.05


def test_this_machines_lab_file_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('schema = 1\n[board.a]\nkind = "rp2040"\nserial = "E661"\n')
    monkeypatch.setenv("HIL_LAB", str(file))
    bench = choose.bench_for(load("rp2040"))
    assert (bench.source, bench.title) == ("hardware", f"hardware bench, {file}")
    assert choose.bench_for(load("rp2350")).source == "virtual", "the lab has none"
    with pytest.raises(BoardMissing, match=r"lab\.toml has no rp2350"):
        choose.bench_for(load("rp2350"), Where(str(file)))
    monkeypatch.delenv("HIL_LAB")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(choose, "SYSTEM", file)
    assert choose.lab_file() == file
    (tmp_path / "config" / "hil").mkdir(parents=True)
    (tmp_path / "config" / "hil" / "lab.toml").write_text("schema = 1\n")
    assert choose.lab_file() == tmp_path / "config" / "hil" / "lab.toml"
    with pytest.raises(UsageError, match="neither auto nor virtual, nor a lab file"):
        choose.bench_for(load("rp2040"), Where(str(tmp_path / "absent.toml")))


def test_a_suggestion_is_a_lab_file() -> None:
    evil = UsbPort("/dev/ttyACM9", 'x"\n[board.b]\\', "1-4:1.0", 0x2E8A, 0x000C, "?")
    nameless = replace(PROBE, device="/dev/no-such-tty", serial=None)
    text = discover.suggestion(
        [PROBE, TWIN, nameless, evil], ["rp2040", None, "rp2350", "rp2040"], [("E661", "Debug Probe")]
    )
    found = tomllib.loads(text)["board"]
    assert len(found) == 4
    first, second, third, last = found.values()
    assert first == {
        "kind": "rp2040",
        "serial": "E661",
        "location": "1-1.2:1.1",
        "probe": "E661",
        "flash": {"tool": "pyocd"},
    }
    assert (second["kind"], second["location"]) == ("", "1-1.3:1.1")
    assert third == {"kind": "rp2350", "port": "/dev/no-such-tty"}
    assert last == {"kind": "rp2040", "serial": evil.serial}
    parsed = lab.parse(Path("lab.toml"), text.replace('kind = ""', 'kind = "rp2040"'))
    assert parsed.boards[0].identity == "serial E661 1-1.2:1.1"


def test_drives_that_wait_for_a_uf2(tmp_path: Path) -> None:
    for name, text in (("a", "UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n"), ("b", "hello")):
        (tmp_path / f"drive {name}").mkdir()
        (tmp_path / f"drive {name}" / "INFO_UF2.TXT").write_text(text)
    mounts = tmp_path / "mounts"
    here = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(
        f"/dev/sda1 {here}/drive\\040a vfat rw 0 0\n/dev/sdb1 {here}/drive\\040b vfat rw 0 0\n"
        f"/dev/sdc1 {here} vfat rw 0 0\n/dev/sdd1 {here}/drive\\040a ext4 rw 0 0\nodd\n"
    )
    folder = tmp_path / "drive a"
    assert discover.drives(mounts) == (Drive(folder, "rp2040", "RPI-RP2"), Drive(tmp_path / "drive b", None, ""))
    assert discover.drives(tmp_path / "absent") == ()
