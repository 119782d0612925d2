"""What the virtual RP2040 does: time, polling loops, UART, faults, boot, two cores, resets."""

from __future__ import annotations

import struct

import pytest

from hil.virtual.chip import chips
from hil.virtual.chip.native import RAN_DEAD, RAN_IDLE, RAN_TO_LIMIT
from tests.support.virtual_programs import DONE, FLASH, RESULT, STACK, Rp2040, assembled, built, results, words

BOOTSEL = chips.find("rp2040").bootsel
CHARACTER = 10850  # cycles: 10 bits * 16 * (67 + 52 / 64)


def run_to_idle(board: Rp2040) -> None:
    for _ in range(1000):
        if board.run(1 << 20) == RAN_IDLE:
            return
    raise AssertionError(f"never idle: {board.state()}")


# ---- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loopback", "twocores", "clock"])
def test_skipping_polling_loops_changes_nothing(name: str) -> None:
    count = {"loopback": 43, "twocores": 6, "clock": 6}[name]
    assert results(name, count, skip=True) == results(name, count, skip=False)


def test_skipping_keeps_cycles_and_instructions_at_every_moment() -> None:
    skipping, full = Rp2040(built("loopback")), Rp2040(built("loopback"), skip=False)
    for stride in [20_000, 5_001, 5_002, 5_003, 5_007, 10_000, 10_849, 10_850, 10_851, 33_333] * 3:
        assert skipping.run(stride) == full.run(stride) == RAN_TO_LIMIT
        assert skipping.state() == full.state()


@pytest.mark.parametrize("stride", [97, 1000, 4096, 1 << 20])
def test_slices_change_nothing(stride: int) -> None:
    whole, sliced = Rp2040(built("loopback")), Rp2040(built("loopback"))
    run_to_idle(whole)
    while sliced.run(stride) != RAN_IDLE:
        assert sliced.state().cycles < 1_000_000
    assert words(sliced, 43) == words(whole, 43)
    assert words(whole, 43)[42] == DONE


def test_timer_and_systick_agree() -> None:
    milliseconds, hundred, slow, high, low = results("clock", 6)
    assert milliseconds == pytest.approx(125_000, abs=20)  # the polling loop's own length
    assert hundred == pytest.approx(12_500_000, abs=20)
    assert slow == pytest.approx(12_000, abs=20)  # clk_sys from the crystal
    assert (high, low) == (0, 1)


def test_nanoseconds_follow_the_clock() -> None:
    board = Rp2040(built("work"))
    board.run(100_000)
    before = board.state()
    assert before.hz == 125_000_000
    board.run(1_000_000)
    after = board.state()
    assert after.nanoseconds - before.nanoseconds == 8 * (after.cycles - before.cycles)


def test_without_clocks_it_runs_on_the_ring_oscillator() -> None:
    board = Rp2040(assembled([0xE7FE]))
    run_to_idle(board)
    state = board.state()
    assert state.hz == 6_500_000
    assert state.nanoseconds == state.cycles * 2000 // 13


# ---- UART ------------------------------------------------------------------------------------------------------------


def test_uart_paces_characters() -> None:
    found = results("loopback", 43)
    assert found[0:40:2] == list(range(0x30, 0x44))
    for cycles in found[1:40:2]:
        assert CHARACTER <= cycles <= CHARACTER + 40
    assert found[40] == sum(range(20))
    assert 20 * CHARACTER <= found[41] <= 20 * CHARACTER + 100


def test_echo_is_paced_and_time_stands_still_in_between() -> None:
    board = Rp2040(built("echo"))
    run_to_idle(board)
    before = board.state()
    assert board.run(1 << 20) == RAN_IDLE
    assert board.state().cycles - before.cycles < 1000
    taken = []
    for size in (1, 10, 100):
        start = board.state().cycles
        assert board.give(bytes(range(size))) == size
        run_to_idle(board)
        assert board.take() == bytes(range(1, size + 1))
        taken.append(board.state().cycles - start)
    for size, cycles in zip((1, 10, 100), taken, strict=True):
        assert size * CHARACTER <= cycles <= size * CHARACTER + 1000


def test_the_same_bytes_take_the_same_cycles() -> None:
    def run() -> list[tuple[object, bytes]]:
        board = Rp2040(built("echo"))
        run_to_idle(board)
        seen: list[tuple[object, bytes]] = []
        for size in (3, 77, 1000, 1, 200):
            board.give(bytes(i % 251 for i in range(size)))
            run_to_idle(board)
            seen.append((board.state(), board.take()))
        return seen

    assert run() == run()


def test_bytes_in_pieces_that_come_in_time_take_the_same_cycles() -> None:
    whole, pieces = Rp2040(built("echo")), Rp2040(built("echo"))
    for board in (whole, pieces):
        run_to_idle(board)
    whole.give(bytes(100))
    run_to_idle(whole)
    for _ in range(4):
        pieces.give(bytes(25))
        pieces.run(25 * CHARACTER - CHARACTER // 2)
    run_to_idle(pieces)
    assert pieces.take() == whole.take()
    assert words(pieces, 1) == words(whole, 1)
    assert abs(pieces.state().cycles - whole.state().cycles) < 1000


def test_fifo_overrun_loses_what_does_not_fit() -> None:
    board = Rp2040(built("overrun"))
    run_to_idle(board)
    board.give(bytes(range(1, 51)))
    run_to_idle(board)
    first, ris, flags, count = words(board, 4)
    assert (first, count) == (1, 32)
    assert ris & 0x400
    assert flags & 0x40
    kept = struct.unpack("<32I", board.read(RESULT + 32, 128) or b"")
    assert [entry & 0xFF for entry in kept] == list(range(2, 34))
    assert "overrun" in "".join(board.notes())
    board.give(b"\x77")
    run_to_idle(board)
    assert words(board, 6)[4:] == [0x877, DONE]  # OE comes with the first one after the gap


def test_bytes_wait_where_there_is_no_room() -> None:
    board = Rp2040(built("echo"))
    run_to_idle(board)
    assert board.give(bytes(100_000)) == 65536
    assert board.room == 0
    assert board.give(b"x") == 0
    run_to_idle(board)
    assert board.room == 65536
    assert board.take() == bytes([1]) * 65536


# ---- exceptions ------------------------------------------------------------------------------------------------------

# ldr r0, =RESULT; r1 = LR, IPSR, stacked PC, stacked xPSR to [r0..]; b .
HANDLER = [0x4804, 0x4671, 0x6001, 0xF3EF, 0x8105, 0x6041, 0x9906, 0x6081, 0x9907, 0x60C1, 0xE7FE, 0xBF00]
HANDLER = [0x4805, *HANDLER[1:], *struct.unpack("<2H", struct.pack("<I", RESULT))]
START = FLASH + 0x200

FAULTS: list[tuple[str, int, str, list[int]]] = [
    ("undefined", 2, "undefined instruction", [0xBF00, 0xDE01]),
    ("breakpoint", 2, "BKPT", [0xBF00, 0xBE01, 0xBF00]),
    ("load from nowhere", 6, "read", [0x2006, 0x0700, 0xBF00, 0x6801, 0xBF00, 0xE7FE]),
    ("store to nowhere", 6, "write", [0x2006, 0x0700, 0xBF00, 0x6001, 0xBF00, 0xE7FE]),
    ("store to flash", 6, "write", [0x2001, 0x0700, 0xBF00, 0x6001, 0xBF00, 0xE7FE]),
    ("unaligned load", 6, "unaligned", [0x2002, 0x0700, 0x3002, 0x6801, 0xBF00, 0xE7FE]),
    ("unaligned store", 6, "unaligned", [0x2002, 0x0700, 0x3001, 0x8001, 0xBF00, 0xE7FE]),
    ("unaligned device", 6, "unaligned", [0x20D0, 0x0600, 0x3002, 0x6801, 0xBF00, 0xE7FE]),
    ("division that v6-M lacks", 4, "undefined instruction", [0x2005, 0x2101, 0xFBB0, 0xF0F1, 0xE7FE]),
    ("SVC with interrupts off", 2, "SVC", [0xB672, 0xDF00, 0xE7FE]),
]


@pytest.mark.parametrize(("at", "why", "code"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_hard_fault(at: int, why: str, code: list[int]) -> None:
    board = Rp2040(assembled(code, {3: HANDLER}))
    run_to_idle(board)
    lr, ipsr, pc, psr = words(board, 4)
    assert (lr, ipsr, pc) == (0xFFFFFFF9, 3, START + at)
    assert psr & 0x0100003F == 0x01000000
    (note,) = board.notes()
    assert why in note
    assert f"{START + at:#010x}" in note


@pytest.mark.parametrize(
    ("where", "code"),
    [
        (0x6000_0000, [0x2006, 0x0700, 0x3001, 0x4700]),
        (0xD000_0000, [0x20D0, 0x0600, 0x3001, 0x4700]),
    ],
    ids=["nowhere", "a device"],
)
def test_execution_where_there_is_no_code(where: int, code: list[int]) -> None:
    board = Rp2040(assembled(code, {3: HANDLER}))
    run_to_idle(board)
    assert words(board, 3)[1:] == [3, where]


def test_branch_to_an_even_address() -> None:
    # r0 = 0x10000800 + 5 * 256, where good code lies that must not run
    code = [0x4801, 0x4700, 0xE7FE, 0xE7FE, *struct.unpack("<2H", struct.pack("<I", FLASH + 0xD00))]
    board = Rp2040(assembled(code, {3: HANDLER, 5: [0xE7FE]}))
    run_to_idle(board)
    assert words(board, 2)[1] == 3


def test_fault_in_thread_mode_on_the_process_stack() -> None:
    code = [0x2002, 0x0700, 0x2110, 0x0209, 0x1840, 0xF380, 0x8809, 0x2102, 0xF381, 0x8814, 0xF3BF, 0x8F6F, 0xDE01]
    board = Rp2040(assembled(code, {3: HANDLER}))
    run_to_idle(board)
    assert words(board, 2) == [0xFFFFFFFD, 3]
    frame = struct.unpack("<8I", board.read(0x2000_1000 - 32, 32) or b"")
    assert frame[0] == 0x2000_1000
    assert frame[6] == START + 24


def test_the_frame_holds_the_registers() -> None:
    code = [0x2011, 0x2122, 0x2233, 0x2344, 0x2455, 0x46A4, 0xDE01]
    board = Rp2040(assembled(code, {3: HANDLER}))
    run_to_idle(board)
    frame = struct.unpack("<8I", board.read(STACK - 32, 32) or b"")
    assert frame[:5] == (0x11, 0x22, 0x33, 0x44, 0x55)


@pytest.mark.parametrize("handler", [[0x4770], [0xB500, 0xBD00]], ids=["bx lr", "pop pc"])
def test_svc_returns(handler: list[int]) -> None:
    # movs r0, #5; svc 0; adds r0, #1; ldr r1, =RESULT; str r0, [r1]; b .
    code = [0x2005, 0xDF00, 0x3001, 0x4901, 0x6008, 0xE7FE, *struct.unpack("<2H", struct.pack("<I", RESULT))]
    board = Rp2040(assembled(code, {11: handler}))
    run_to_idle(board)
    assert words(board, 1) == [6]
    assert list(board.notes()) == []


@pytest.mark.parametrize(
    ("code", "handlers"),
    [([0xDE01], {3: [0xDE02]}), ([0x2006, 0x0700, 0x4685, 0xDE01], {3: [0xE7FE]})],
    ids=["a fault in the fault handler", "no stack"],
)
def test_lockup(code: list[int], handlers: dict[int, list[int]]) -> None:
    board = Rp2040(assembled(code, handlers))
    assert board.run(1 << 22) == RAN_DEAD
    assert "lockup" in list(board.notes())[-1]
    board.give(b"hello?")
    assert board.run(1 << 22) == RAN_DEAD
    assert board.take() == b""


# ---- boot, cores, resets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [0, 100, 251, 252, 255])
def test_a_second_stage_with_a_bad_checksum_is_not_run(damage: int) -> None:
    image = bytearray(built("echo"))
    image[damage] ^= 0x10
    board = Rp2040(bytes(image))
    run_to_idle(board)
    assert board.state().pc[0] in BOOTSEL


def test_blank_flash_stays_in_bootsel() -> None:
    board = Rp2040(b"")
    run_to_idle(board)
    assert board.state().pc[0] in BOOTSEL


def test_second_core_is_launched_and_shares_memory() -> None:
    assert results("twocores", 6)[:2] == [42, 10_000]
    assert results("twocores", 6)[2:] == [0xC0DE, 7, 8]


def test_two_polling_cores_are_idle_and_answer() -> None:
    def run() -> list[object]:
        board = Rp2040(built("echo2"))
        run_to_idle(board)
        seen: list[object] = [board.state()]
        for size in (1, 40):
            board.give(bytes(range(1, size + 1)))
            run_to_idle(board)
            assert board.take() == bytes(range(2, size + 2))
            seen.append(board.state())
        return seen

    first = run()
    assert first == run()


def test_a_parked_core_costs_nothing() -> None:
    board = Rp2040(built("work"))
    board.run(10_000_000)
    assert board.state().instructions[1] < 100


def test_watchdog_and_system_reset() -> None:
    assert results("watchdog", 5) == [0, 2, 1, 0]  # power-on, trigger, ran out, SYSRESETREQ


def test_power_cycle_starts_over() -> None:
    board = Rp2040(built("echo"))
    run_to_idle(board)
    first = board.state()
    ram = board.read(0x2001_0000, 4096)
    assert ram is not None
    assert 0 not in ram
    board.give(b"abc")
    run_to_idle(board)
    board.power_cycle()
    run_to_idle(board)
    assert board.state() == first
    assert board.take() == b""
    assert board.read(0x2001_0000, 4096) == ram


def test_code_in_ram_can_be_rewritten() -> None:
    assert results("rewrite", 4) == [11, 22 + 256, 33 + 512]


def test_reads_stay_inside_memory() -> None:
    board = Rp2040(b"")
    assert board.read(0x2004_1FFC, 4) is not None
    assert board.read(0x2004_1FFD, 4) is None
    assert board.read(0x1300_0000, 4) == b"\xff" * 4
    assert board.read(0x4000_0000, 4) is None
