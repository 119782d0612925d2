"""Getting an image onto a board that may be in any state, and the steps that a person in the lab would take."""

from __future__ import annotations

from collections.abc import Callable

from hil.bench.hands import Hands, Say
from hil.bench.ports import check_allowed, wait_for
from hil.bench.state import State
from hil.bench.station import Known, Trouble
from hil.errors import (
    BenchLost,
    BoardMissing,
    DeviceHang,
    FlashFailed,
    InfrastructureError,
    LinkError,
    StateFailed,
    ToolMissing,
)
from hil.image.build import Image
from hil.link import Hello, Link

_ASK_FIRST = 0.3  # seconds, twice, for a board that may have nothing in its flash
_ASK = 1.5
_TRIES = 3


class WrongBoard(FlashFailed):
    """Another kind of board is where this one should be; it was not touched, or not to good effect."""

    of_a_board = False


class NotRevived(InfrastructureError):
    """Every step was taken, and the board is as before. `story` has a line for each."""

    def __init__(self, message: str, story: tuple[str, ...]) -> None:
        super().__init__(message)
        self.story = story


def bring_up(board: Known, hands: Hands, image: Image, *, say: Say) -> tuple[str, ...]:
    """Flash, and see that the board runs this very image; else reset, flash again, cycle its power and flash again.

    Gives what had to be done after the first flash, a line for each step; empty if all went well at once.
    Raises `BoardMissing` where it is not plugged in or may not be opened, `WrongBoard`, `NotRevived`.
    """
    story: list[str] = []
    _reach(board, hands, image, story, say)
    steps: list[tuple[str, Callable[[], None]]] = [("flash", lambda: hands.flash(image, say=say))]
    if "reset" in hands.ways and image.in_ram is None:  # what is in RAM alone does not outlive a reset
        steps.append(("reset", hands.reset))
    steps.append(("flash again", lambda: hands.flash(image, say=say)))
    if "power" in hands.ways:
        steps.append(("power cycle and flash", lambda: _cycle_and_flash(hands, image, say)))
    error: InfrastructureError | DeviceHang | None = None
    flashed = False
    for name, step in steps:
        if name == "reset" and not flashed:
            continue  # what is half in its flash does not start
        say(f"{board.name}: {name}")
        try:
            flashed = False
            step()
            flashed = True
            _check(board, hands, image)
        except (ToolMissing, WrongBoard, StateFailed, BenchLost):
            raise
        except (InfrastructureError, DeviceHang) as failed:
            error = failed
            story.append(f"{name}: {_first_line(failed)}")
        else:
            if story:
                story.append(f"{name}: well again")
            return tuple(story)
    raise NotRevived(
        f"{board.name} at {board.identity} does not run its image: {'; '.join(story)}", tuple(story)
    ) from (error)


def set_aside(state: State, board: Known, image: Image, error: NotRevived) -> Trouble:
    """Quarantine a board; gives its trouble.

    Raises `BoardMissing` if it is rather the image that does not live: another board went the same way.
    """
    before = state.quarantined_with(image.build_id)
    if before is not None:
        raise BoardMissing(
            f"{error.message}. {before.board} was set aside with the same image: suspect the image, not the boards",
            hint=f"hil lab release {before.board}",
        ) from error
    state.set_aside(board.identity, board.name, "; ".join(error.story), image.build_id)
    return board.identity, board.name, error.message


def _reach(board: Known, hands: Hands, image: Image, story: list[str], say: Say) -> None:
    """See that the board's port is there and free, and that no other kind of board is behind it."""
    try:
        port = hands.port()
    except BoardMissing as error:
        if "power" not in hands.ways or isinstance(error, BenchLost):
            raise
        say(f"{board.name}: power cycle, since it is not there")
        story.append(f"look: {_first_line(error)}")
        hands.power_cycle()
        port = wait_for(hands.port)
        story.append("power cycle: it is there again")
    check_allowed(board, port)
    if board.console != "uart":
        return  # nothing can be asked before it is known where its firmware has the console; pyOCD knows the chip
    try:
        hello = _hello(board, port, _ASK_FIRST, 2)
    except BoardMissing as error:
        raise BoardMissing(
            f"{board.name}: {error.message}; another program may hold it", hint=f"fuser -v {port}"
        ) from error
    except (LinkError, DeviceHang):
        return  # an empty flash, or somebody else's firmware, does not answer
    _check_kind(board, port, hello, image)


def _cycle_and_flash(hands: Hands, image: Image, say: Say) -> None:
    hands.power_cycle()
    wait_for(hands.port)
    hands.flash(image, say=say)


def _check(board: Known, hands: Hands, image: Image) -> None:
    """Raise unless the board says that it runs this very image."""
    port = wait_for(hands.port)
    hello = _hello(board, port, _ASK, _TRIES)
    _check_kind(board, port, hello, image)
    if hello.build_id != image.build_id:
        raise FlashFailed(f"firmware {hello.build_id} runs, {image.build_id} was flashed")


def _hello(board: Known, port: str, timeout: float, tries: int) -> Hello:
    with Link.open(port, board.baud, timeout=timeout, tries=tries, board=board.name) as link:
        return link.hello()


def _check_kind(board: Known, port: str, hello: Hello, image: Image) -> None:
    if hello.board != image.board:
        raise WrongBoard(
            f"{board.name}: a {hello.board!r} answers at {port} where the bench has a {image.board!r}",
            hint="hil boards",
        )


def _first_line(error: Exception) -> str:
    return str(getattr(error, "message", error)).partition("\n")[0]
