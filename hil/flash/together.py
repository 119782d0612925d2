"""Several boards flashed side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil import flash as flashing
from hil.board import Board
from hil.errors import HilError
from hil.flash import Flashed, Say, silent

if TYPE_CHECKING:
    from hil.image.build import Image

MOST_AT_ONCE = 8


@dataclass(frozen=True)
class Order:
    """An image and the board that it is for; `target` as for `hil.flash.flash`."""

    target: str
    image: Image
    board: Board


def flash_together(orders: Sequence[Order], tool: str | None = None, say: Say = silent) -> list[Flashed | HilError]:
    """What became of each, in their order: a board that fails is its own error, the others go on.

    Where this is interrupted, so are they.
    """
    pool = ThreadPoolExecutor(min(len(orders), MOST_AT_ONCE) or 1)
    try:
        return [future.result() for future in [pool.submit(_one, order, tool, say) for order in orders]]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        flashing.interrupt()
        raise
    finally:
        pool.shutdown()


def _one(order: Order, tool: str | None, say: Say) -> Flashed | HilError:
    try:
        return flashing.flash(order.target, order.image, order.board, tool, say)
    except HilError as error:
        return error
