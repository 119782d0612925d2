"""What is plugged into this machine, lab file or not: consoles, debug probes, drives that wait for a UF2."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hil import board as boards
from hil.bench.lab import LabBoard
from hil.bench.ports import UsbPort, usb_ports
from hil.bench.state import State
from hil.errors import BoardMissing, HilError
from hil.link import Link

_ASK = 0.3
_TRIES = 2
_LARGEST_INFO = 4096
_MOUNTS = Path("/proc/mounts")
# USB ids of what carries a board's console. From the USB ID repository of Raspberry Pi (usb-pid), from the data sheets
# of CP2102N and CH343, and from OpenOCD's udev rules (J-Link, ST-LINK). None of them says which board is behind it:
# only the board itself does.
CONSOLES = {
    (0x2E8A, 0x000C): "Raspberry Pi Debug Probe",
    (0x2E8A, 0x0004): "Picoprobe",
    (0x0D28, 0x0204): "DAPLink",
    (0x10C4, 0xEA60): "CP210x serial bridge",
    (0x1A86, 0x55D3): "CH343 serial bridge",
    (0x1366, 0x0105): "J-Link",
    (0x1366, 0x1015): "J-Link",
    (0x1366, 0x1051): "J-Link",
    (0x0483, 0x374B): "ST-LINK/V2-1",
    (0x0483, 0x3752): "ST-LINK/V2-1",
    (0x0403, 0x6001): "FT232 serial bridge",
    (0x0403, 0x6015): "FT230X serial bridge",
}
_FAMILIES = {"RPI-RP2": "rp2040", "RP2350": "rp2350"}


@dataclass(frozen=True)
class Drive:
    """A board that waits for a UF2, by the Board-ID that its INFO_UF2.TXT gives."""

    folder: Path
    kind: str | None
    board_id: str


def consoles(ports: Sequence[UsbPort] | None = None) -> tuple[UsbPort, ...]:
    """The ports that may be a board's console."""
    known = usb_ports() if ports is None else ports
    return tuple(port for port in known if (port.vendor, port.product) in CONSOLES)


def ask(port: UsbPort) -> str | None:
    """The board kind that answers at a port, at whichever rate, or None: its flash may be empty, or the port somebody
    else's."""
    for baud in _rates():
        try:
            with Link.open(port.device, baud, timeout=_ASK, tries=_TRIES) as link:
                return link.hello().board
        except BoardMissing:
            return None  # it cannot be opened, at no rate
        except HilError:
            continue
    return None


def _rates() -> tuple[int, ...]:
    """The rates of boards' consoles, that of most boards first."""
    known = (boards.load(name) for name in boards.names())
    count = Counter(board.baud for board in known if not board.hosted)
    return tuple(baud for baud, _ in count.most_common())


def as_board(port: UsbPort, kind: str, baud: int, among: Sequence[UsbPort] = ()) -> LabBoard:
    """A port as a lab file would have it; with its place, where its serial number is not its alone."""
    name = f"{kind}-{(port.serial or port.location or 'x')[-6:].replace(':', '-')}"
    if port.serial is None:
        return LabBoard(name, kind, port=by_path(port.device), baud=baud)
    alike = [other for other in among if other.serial == port.serial]
    return LabBoard(name, kind, serial=port.serial, location=port.location if len(alike) > 1 else None, baud=baud)


def by_path(device: str) -> str:
    """The name of a port that tells where it is plugged in, as udev made it; the device itself where there is none."""
    folder = Path("/dev/serial/by-path")
    links = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((str(link) for link in links if link.resolve() == Path(device).resolve()), device)


def discovered(kind: str, baud: int, state: State) -> tuple[LabBoard, ...]:
    """Boards of a kind that are plugged in, run firmware of ours, and say so themselves, or their holders do."""
    ports = consoles()
    found = [as_board(port, kind, baud, ports) for port in ports]
    return tuple(board for board, port in zip(found, ports, strict=True) if _kind(board, port, state) == kind)


def _kind(board: LabBoard, port: UsbPort, state: State) -> str | None:
    """What is at a port. One that somebody holds is not talked to."""
    handle = state.try_lease(board.identity, "")
    if handle is None:
        holder = state.holder(board.identity)
        return holder.kind if holder else None
    try:
        return ask(port)
    finally:
        os.close(handle)


def drives(mounts: Path = _MOUNTS) -> tuple[Drive, ...]:
    """Mounted drives of boards in BOOTSEL."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 3 or words[2] != "vfat":
            continue
        folder = Path(words[1].replace("\\040", " "))
        try:
            with (folder / "INFO_UF2.TXT").open("rb") as handle:
                text = handle.read(_LARGEST_INFO).decode("ascii", "replace")
        except OSError:
            continue
        board_id = next((row.partition(":")[2].strip() for row in text.splitlines() if row.startswith("Board-ID:")), "")
        found.append(Drive(folder, _FAMILIES.get(board_id), board_id))
    return tuple(found)


def probes() -> tuple[tuple[str, str], ...]:
    """Debug probes as (unique id, description), where pyOCD is installed; loading it takes most of a second."""
    if importlib.util.find_spec("pyocd") is None:
        return ()
    from pyocd.core.exceptions import Error  # noqa: PLC0415
    from pyocd.probe.aggregator import DebugProbeAggregator  # noqa: PLC0415

    try:
        return tuple((str(p.unique_id), str(p.description)) for p in DebugProbeAggregator.get_all_connected_probes())
    except (Error, OSError):
        return ()


def suggestion(ports: Sequence[UsbPort], kinds: Sequence[str | None], found: Sequence[tuple[str, str]]) -> str:
    """A first lab file, as text, from ports, what answered at each, and debug probes. Unknown kinds are left to say."""
    probe_ids = {probe for probe, _ in found}
    lines = ["schema = 1", ""]
    names: set[str] = set()
    for port, kind in zip(ports, kinds, strict=True):
        board = as_board(port, kind or "board", 0, ports)
        name = board.name if board.name not in names else f"{board.name}-{len(names)}"
        names.add(name)
        what = CONSOLES.get((port.vendor, port.product), port.what)
        lines.append(f"[board.{_quoted_name(name)}]            # {what}, now {port.device}")
        lines.append(
            f'kind = "{kind}"' if kind else 'kind = ""                 # which board is it? "hil boards" lists them'
        )
        known = {"port": board.port, "serial": board.serial, "location": board.location}
        lines += [f"{key} = {_quoted(value)}" for key, value in known.items() if value is not None]
        flash = '# flash = { tool = "..." }      # see docs/lab.md'
        if port.serial in probe_ids:
            lines.append(f"probe = {_quoted(port.serial or '')}")
            flash = 'flash = { tool = "pyocd" }'
        lines += [flash, "# power = { hub = ..., port = ... }", ""]
    lines += [f"# debug probe {probe}: {what}" for probe, what in found]
    return "\n".join(lines).rstrip() + "\n"


def _quoted(text: str) -> str:
    """A TOML string. USB devices say what they like, so quotes, backslashes and control characters are escaped."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in text) + '"'


def _quoted_name(name: str) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)
    return f'"{plain}"' if "." in plain else plain
