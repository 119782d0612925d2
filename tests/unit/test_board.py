"""Board descriptions: the shipped ones are sound, and every way to write one wrongly names file and key."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil import board
from hil.errors import BoardFileError, UsageError
from hil.paths import BOARDS
from hil.plan.kernels import KERNELS
from hil.wire import wire

FILE = BOARDS / "rp2040.toml"
RAW: dict[str, Any] = tomllib.loads(FILE.read_text("utf-8"))
OPTIONAL = {("virtual",), ("uf2",), ("network",), ("console", "rtt")}
PORTS = {("network", "uart"), ("network", "ethernet")}
EITHER = {("build", "zig"), ("build", "gcc")}
FLASH = {
    ("flash",),
    ("flash", "pyocd"),
    ("flash", "uf2"),
    ("flash", "picotool"),
    ("flash", "identity"),
    ("flash", "buffers"),
}


def keys(table: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key of the description, tables included."""
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from keys(value, (*path, key))


def leaves() -> list[tuple[str, ...]]:
    return [path for path in keys(RAW) if not isinstance(at(RAW, path), dict)]


def at(table: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        table = table[key]
    return table


FRACTIONS = {
    *(path for path in leaves() if path[0] == "cost"),
    *((*port, key) for port in PORTS for key in ("frame", "word", "byte")),
}


def written(value: Any) -> str:
    """A TOML value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return repr(value)


def text(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {written(value)}\n" for key, value in table.items())


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    table = copy.deepcopy(RAW)
    at(table, path[:-1])[path[-1]] = value
    return table


def without(path: tuple[str, ...]) -> dict[str, Any]:
    table = copy.deepcopy(RAW)
    del at(table, path[:-1])[path[-1]]
    return table


def refused(table: dict[str, Any]) -> str:
    with pytest.raises(BoardFileError) as caught:
        board.parse(FILE, text(table))
    return caught.value.message


def name(path: tuple[str, ...]) -> str:
    return ".".join(path)


def test_shipped_boards_are_sound() -> None:
    assert "rp2040" in board.names()
    for known in board.names():
        found = board.load(known)
        assert found.name == known
        assert found.cores * found.stack_per_core <= found.stack.bytes


def test_shipped_boards_know_the_cost_of_every_kernel() -> None:
    for known in board.names():
        costs = board.load(known).costs
        assert {record.COST for record in KERNELS.values()} <= set(costs)


def test_rp2040_values() -> None:
    """The numbers of the RP2040 data sheet (section 2.2, address map) and of the Pico's flash."""
    pico = board.load("rp2040")
    assert (pico.cores, pico.clock_hz, pico.isa, pico.counts) == (2, 125_000_000, "thumb-v6m", "cycles")
    assert (pico.flash.address, pico.flash.bytes) == (0x1000_0000, 2 << 20)
    assert (pico.ram.address, pico.ram.end) == (0x2000_0000, 0x2004_0000)
    assert (pico.stack.address, pico.stack.end) == (0x2004_0000, 0x2004_2000)
    assert (pico.uf2_family, pico.baud, pico.virtual) == (
        0xE48B_FF56,
        921_600,
        board.Virtual("unicorn", "rp2040", None, (), None, "own"),
    )


def test_the_network_ports_are_what_wires_are_plugged_into() -> None:
    pico, native = board.load("rp2040"), board.load("native")
    assert set(pico.network) == {"uart", "ethernet"}
    assert pico.default_wire == "uart-3M"
    assert pico.network["uart"].most_bps == 7_800_000  # clk_peri / 16
    assert all(port.frame > 0 and port.byte > 0 for port in pico.network.values())
    assert pico.accepts(wire("uart-3M"))
    assert pico.accepts(wire("ethernet-100M"))
    assert not pico.accepts(wire("uart:8000000"))
    assert not pico.accepts(wire("loopback"))
    assert native.accepts(wire("loopback"))
    assert not native.accepts(wire("uart-3M"))
    assert board.load("riscv-virt").network == {}


@pytest.mark.parametrize("known", board.names())
def test_every_default_wire_fits_its_board(known: str) -> None:
    found = board.load(known)
    assert (found.default_wire is None) == (not found.network)
    assert found.default_wire is None or found.accepts(wire(found.default_wire))


def test_the_rewritten_description_is_the_same_board() -> None:
    """The tests below change one thing in a rewritten text; unchanged, it must be read alike."""
    assert board.parse(FILE, text(RAW)) == board.load("rp2040")


@pytest.mark.parametrize(
    "path", [p for p in keys(RAW) if p not in OPTIONAL | EITHER | PORTS | FLASH and p[:1] != ("cost",)], ids=name
)
def test_a_missing_key_is_named(path: tuple[str, ...]) -> None:
    assert refused(without(path)) == f"rp2040.toml: {name(path)}: missing"


@pytest.mark.parametrize("path", [("cost",), ("cost", "step")], ids=name)
def test_missing_costs_are_named(path: tuple[str, ...]) -> None:
    assert refused(without(path)) == f"rp2040.toml: {name(path)}: missing"


@pytest.mark.parametrize("path", sorted(OPTIONAL), ids=name)
def test_optional_keys_may_be_left_out(path: tuple[str, ...]) -> None:
    field = {"uf2": "uf2_family", "network": "default_wire", "rtt": "consoles"}.get(path[-1], path[-1])
    assert getattr(board.parse(FILE, text(without(path))), field) in (None, ("uart",))


def test_the_flash_table_may_be_left_out_but_not_be_empty() -> None:
    bare = board.parse(FILE, text(without(("flash",))))
    assert (bare.flash_tools, bare.identity) == ({}, None)
    assert board.parse(FILE, text(without(("flash", "identity")))).identity is None
    assert list(board.parse(FILE, text(without(("flash", "pyocd")))).flash_tools) == ["uf2", "picotool"]
    assert refused(changed(("flash",), {})) == "rp2040.toml: flash.pyocd: no tool (pyocd, esptool, uf2, picotool)"


def test_a_loader_is_a_name_and_a_sector() -> None:
    made = board.parse(FILE, text(changed(("flash", "loader"), {"source": "chip", "sector": 4096})))
    assert made.loader == board.Loader("chip", 4096)
    assert board.parse(FILE, text(RAW)).loader is None
    for value, why in (
        ({"source": "../chip", "sector": 4096}, "loader.source: '../chip' does not name a file"),
        ({"source": "chip", "sector": 17}, "loader.sector: 17 is outside 256..65536"),
        ({"source": "chip"}, "loader.sector: missing"),
        ({"source": "chip", "sector": 4096, "bank": 1}, "loader.bank: unknown key"),
    ):
        assert refused(changed(("flash", "loader"), value)).startswith(f"rp2040.toml: flash.{why}")


def wrongly_typed() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key with a value of every type that it must not have."""
    for path in keys(RAW):
        right = at(RAW, path)
        for value in (True, 1.5, "x", [1], {"a": 1}):
            fraction_allowed = path in FRACTIONS and value == 1.5
            line_allowed = path[0] == "cost" and path[1:] not in ((), ("step",), ("run",)) and type(value) is dict
            if type(right) is not type(value) and not fraction_allowed and not line_allowed:
                yield path, value


@pytest.mark.parametrize(
    ("path", "value"), list(wrongly_typed()), ids=lambda v: name(v) if type(v) is tuple else repr(v)
)
def test_a_wrong_type_is_named(path: tuple[str, ...], value: Any) -> None:
    message = refused(changed(path, value))
    assert message.startswith(f"rp2040.toml: {name(path)}: "), message
    assert repr(value) in message


@pytest.mark.parametrize("path", [p for p in leaves() if isinstance(at(RAW, p), int) and p[0] != "cost"], ids=name)
@pytest.mark.parametrize("value", [-1, 1 << 40, -(1 << 70)])
def test_a_number_out_of_range_is_named(path: tuple[str, ...], value: int) -> None:
    message = refused(changed(path, value))
    assert message.startswith(f"rp2040.toml: {name(path)}: "), message
    assert str(value) in message


@pytest.mark.parametrize("path", [p for p in leaves() if isinstance(at(RAW, p), str)], ids=name)
def test_an_empty_text_is_named(path: tuple[str, ...]) -> None:
    assert refused(changed(path, "")) == f"rp2040.toml: {name(path)}: is empty"


@pytest.mark.parametrize("table", [(), ("cpu",), ("memory",), ("memory", "flash"), ("memory", "stack"), ("console",),
                                   ("uf2",), ("network",), ("network", "uart")], ids=name)  # fmt: skip
def test_an_unknown_key_is_named(table: tuple[str, ...]) -> None:
    path = (*table, "clock_mhz")
    message = refused(changed(path, 125))
    assert message.startswith(f"rp2040.toml: {name(path)}: unknown key (known here: ")


@pytest.mark.parametrize("value", [[1.0], [1.0, -1.0], [1.0, "x"], [True, 1.0], [1.0, 2.0, 3.0], 1.0,
                                   [float("inf"), 0.0], [0.0, float("nan")]], ids=repr)  # fmt: skip
def test_a_wrong_cost_is_named(value: Any) -> None:
    assert refused(changed(("cost", "conv"), value)).startswith("rp2040.toml: cost.conv: expected [cycles per MAC")


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")], ids=repr)
@pytest.mark.parametrize("path", [("cost", "step"), ("cost", "conv", "turns")], ids=name)
def test_a_wrong_number_of_cycles_is_named(path: tuple[str, ...], value: float) -> None:
    assert refused(changed(path, value)).startswith(f"rp2040.toml: {name(path)}: expected a number of cycles")


def test_costs_may_be_a_pair_or_by_what_is_counted() -> None:
    assert board.parse(FILE, text(changed(("cost", "conv"), [2.5, 7]))).costs["conv"] == board.Cost(
        (("macs", 2.5), ("outputs", 7.0))
    )
    assert board.parse(FILE, text(changed(("cost", "conv"), {"turns": 3}))).costs["conv"] == board.Cost(
        (("turns", 3.0),)
    )


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("name",), "pico", "'pico' differs from the file's name"),
        (("schema",), 2, "2 is outside 1..1"),
        (("cpu", "isa"), "x86", "'x86' is not one of thumb-v6m"),
        (("cpu", "counts"), "ticks", "'ticks' is not one of cycles"),
        (("memory", "stack", "per_core"), 0x2000, "2 stacks of 8192 bytes do not fit in 8192"),
        (("memory", "stack", "per_core"), 0x2001, "8193 is outside 256..8192"),
        (("memory", "ram", "address"), 0xFFFF_FFFF, "reach beyond 32 bits"),
        (("network", "default"), "rope", "no wire is called 'rope'"),
        (("network", "default"), "loopback", "'loopback' needs a port 'udp'; there are: uart, ethernet"),
        (("network", "default"), "uart:8000000", "is faster than the 7800000 bits a second of its port"),
        (("network", "uart", "frame"), float("nan"), "expected a number of cycles"),
    ],
    ids=lambda v: name(v) if isinstance(v, tuple) else "",
)
def test_contradictions_are_named(path: tuple[str, ...], value: Any, why: str) -> None:
    message = refused(changed(path, value))
    assert message.startswith("rp2040.toml: ")
    assert why in message


@given(st.text(max_size=200))
def test_any_text_is_a_board_or_refused(raw: str) -> None:
    with pytest.raises(BoardFileError, match=r"^rp2040\.toml: "):
        board.parse(FILE, raw)


@pytest.mark.parametrize("unknown", ["rp2350x", "", "../boards/rp2040", "rp2040.toml", "RP2040"])
def test_an_unknown_board_is_a_usage_error_that_lists_the_known(unknown: str) -> None:
    with pytest.raises(UsageError) as caught:
        board.load(unknown)
    assert repr(unknown) in caught.value.message
    assert "rp2040" in caught.value.message.split("known:")[1]
    assert caught.value.hint == "hil boards"


def test_a_file_that_is_not_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd.toml").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setattr(board, "BOARDS", tmp_path)
    with pytest.raises(BoardFileError, match=r"odd\.toml: cannot be read"):
        board.load("odd")


def test_a_name_can_end_with_what_a_board_has_less_of() -> None:
    whole, half = board.load("rp2040"), board.load("rp2040:62.5MHz:64K")
    assert (half.name, half.clock_hz, half.ram.bytes) == ("rp2040:62.5MHz:64K", 62_500_000, 65536)
    assert replace(half, name=whole.name, clock_hz=whole.clock_hz, ram=whole.ram) == whole
    for name in ("rp2040:", "rp2040:63MHz", "rp2040:1MHz", "rp2040:0MHz", "rp2040:300K", "rp2040:0K", "rp2040:64k"):
        with pytest.raises(UsageError):
            board.load(name)
    with pytest.raises(UsageError, match="its clock of 64 MHz is the only one it has"):
        board.load("nrf52840dk:32MHz")
    assert board.load("nrf52840dk:64MHz").clock_hz == 64_000_000
