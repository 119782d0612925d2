"""What the esptool driver makes of esptool's last words: try again, give up, and what to type next."""

from __future__ import annotations

import pytest

from hil import board as boards
from hil.errors import FlashFailed, UsageError
from hil.flash import Flashed
from hil.flash.esptool import Esptool, _Run, on_virtual
from hil.image.build import Image, build

KIND = boards.load("esp32c3")
PORT = "/dev/ttyUSB7"
GOOD = "Wrote 36948 bytes (27718 compressed) at 0x00000000 in 0.7 seconds.\nHash of data verified.\n"


@pytest.fixture(scope="module")
def image() -> Image:
    return build(KIND, b"")


class Fake:
    """An esptool that ends so, the last way for ever; `count` times it was run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *runs: _Run) -> None:
        self.count = 0

        def attempt(driver: Esptool, *arguments: object) -> _Run:
            self.count += 1
            return runs[min(self.count, len(runs)) - 1]

        monkeypatch.setattr(Esptool, "_attempt", attempt)

    def flash(self, image: Image) -> Flashed:
        return Esptool(PORT).flash(image, KIND, say=lambda _: None)


@pytest.mark.parametrize(
    ("text", "times", "hint"),
    [
        ("A fatal error occurred: Failed to connect to ESP32-C3: No serial data received.", 3, "hold BOOT"),
        ("A fatal error occurred: This chip is ESP32-S3, not ESP32-C3. Wrong chip argument?", 1, "chip-id"),
        ("A fatal error occurred: MD5 of file does not match data in flash!", 1, "chip-id"),
        (f"Could not open {PORT}, the port is busy or doesn't exist.\n(Permission denied: '{PORT}')", 1, "udev"),
        (f"Could not open {PORT}: Could not exclusively lock port {PORT}", 1, f"fuser -v {PORT}"),
    ],
)
def test_only_silence_is_tried_again(
    text: str, times: int, hint: str, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(monkeypatch, _Run(2, text))
    with pytest.raises(FlashFailed, match=f"esp32c3 at {PORT}: esptool: .*attempt {times}; log: ") as caught:
        fake.flash(image)
    assert fake.count == times
    assert hint in str(caught.value.hint)
    assert PORT in str(caught.value.hint)


def test_a_second_try_may_succeed(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(monkeypatch, _Run(2, "Error: Serial data stream stopped: Possible noise"), _Run(0, GOOD))
    assert fake.flash(image).bytes_written == 36948
    assert fake.count == 2


def test_no_verified_hash_is_no_success(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FlashFailed):
        Fake(monkeypatch, _Run(0, "Wrote 36948 bytes.")).flash(image)


def test_a_run_that_was_stopped_is_not_repeated(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(monkeypatch, _Run(-1, "Connecting... Timed out", late=True))
    with pytest.raises(FlashFailed, match="no result in"):
        fake.flash(image)
    assert fake.count == 1


@pytest.mark.parametrize("target", ["hil:", "hil:127.0.0.1:1", "hil:127.0.0.1:1:x", "hil:127.0.0.1:1:70000"])
def test_a_loader_has_two_ports(target: str) -> None:
    with pytest.raises(UsageError, match="not of the form"):
        on_virtual(target)


def test_the_log_is_a_file_of_its_own(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Fake(monkeypatch, _Run(0, GOOD)).flash(image).log
    assert log.name == "esp32c3-esptool-dev-ttyUSB7.log"
