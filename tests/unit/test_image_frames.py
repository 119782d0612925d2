"""The stack bound from frames and references: exact where a function says what it takes, and never too small."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hil.errors import BuildFailed
from hil.image.elf import Elf
from hil.image.frames import OUTSIDE, worst_frames
from hil.image.toolchain import zig

if not sys.platform.startswith("linux"):
    pytest.skip("makes Linux object files", allow_module_level=True)

FLAGS = ("-target", "native-linux-musl", "-Os", "-mno-red-zone", "-fstack-size-section", "-ffunction-sections")
ADDRESS = 8
TAKES = """
typedef unsigned char byte;
__attribute__((noinline)) void take(volatile byte *at);
__attribute__((noinline)) void other(int x);
#define ROOM(n) volatile byte room[n]; room[0] = 1; take(room)
"""


def compiled(folder: Path, *sources: str) -> list[Path]:
    made = []
    for index, source in enumerate(sources):
        file = folder / f"{index}.c"
        file.write_text(TAKES + source)
        zig().run([*FLAGS, "-fno-sanitize=all", "-c", file, "-o", folder / f"{index}.o"], what="a test")
        made.append(folder / f"{index}.o")
    return made


LEAF = "void take(volatile byte *at) { *at = 2; }"


def test_frames_add_up_along_the_deepest_chain(tmp_path: Path) -> None:
    source = "void other(int x) { (void)x; ROOM(4000); }\nvoid start(int x) { ROOM(100); other(x); }"
    bound = worst_frames(compiled(tmp_path, source, LEAF), "start")
    assert bound.path == ("start", "other", "take")
    assert 4100 + 3 * ADDRESS <= bound.bytes <= 4100 + 200


def test_static_functions_of_one_name_are_told_apart(tmp_path: Path) -> None:
    inner = (
        "__attribute__((noinline)) static void inner(void) {{ ROOM({0}); }}\nvoid {1}(int x) {{ (void)x; inner(); }}"
    )
    objects = compiled(tmp_path, inner.format(5000, "other"), inner.format(16, "start"), LEAF)
    assert worst_frames(objects, "other").bytes > 5000
    assert worst_frames(objects, "start").bytes < 300


def test_functions_that_tables_point_to_count(tmp_path: Path) -> None:
    source = """
    static void big(void) { ROOM(3000); }
    static void small(void) { ROOM(16); }
    void (*const table[])(void) = {small, big};
    void start(int x) { table[x](); }
    """
    bound = worst_frames(compiled(tmp_path, source, LEAF), "start")
    assert bound.path == ("start", "big", "take")
    assert bound.bytes > 3000


def test_a_switch_is_no_recursion(tmp_path: Path) -> None:
    cases = "\n".join(f"case {i}: take((volatile byte *){i * i + 7}l); return {i * 31 % 17};" for i in range(40))
    source = f"int start(int x) {{ switch (x) {{ {cases} default: return 0; }} }}"
    objects = compiled(tmp_path, source, LEAF)
    assert worst_frames(objects, "start").path == ("start", "take")


def test_what_is_left_out_does_not_count(tmp_path: Path) -> None:
    source = "void other(int x) { (void)x; ROOM(4000); }\nvoid start(int x) { ROOM(100); other(x); }"
    bound = worst_frames(compiled(tmp_path, source, LEAF), "start", {"other"})
    assert bound.path == ("start", "take")
    assert bound.bytes < 300


def test_the_c_library_counts_as_declared(tmp_path: Path) -> None:
    bound = worst_frames(compiled(tmp_path, "void start(int x) { ROOM(16); other(x); }"), "start")
    assert bound.path in {("start", "other"), ("start", "take")}
    assert OUTSIDE < bound.bytes < OUTSIDE + 200


def test_recursion_is_an_error(tmp_path: Path) -> None:
    back = "void start(int x);\nvoid other(int x) { ROOM(16); start(x - 1); take(room); }"
    forth = "void start(int x) { ROOM(16); other(x); take(room); }"
    with pytest.raises(BuildFailed, match="recursion: start -> other -> start"):
        worst_frames(compiled(tmp_path, back, forth, LEAF), "start")


def test_a_function_without_a_frame_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "bare.S"
    file.write_text(".section .text.other\n.global other\n.type other, @function\nother: nop\n.size other, 1\n")
    zig().run(["-target", "native-linux-musl", "-c", file, "-o", tmp_path / "bare.o"], what="a test")
    objects = [*compiled(tmp_path, "void start(int x) { other(x); }"), tmp_path / "bare.o"]
    with pytest.raises(BuildFailed, match="no frame of other"):
        worst_frames(objects, "start")


def test_an_entry_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="0 functions are called begin"):
        worst_frames(compiled(tmp_path, LEAF), "begin")


def test_relocations_name_section_and_symbol(tmp_path: Path) -> None:
    (path,) = compiled(tmp_path, "void start(int x) { other(x); }")
    elf = Elf(path)
    found = [r for r in elf.relocations if r.symbol.name == "other"]
    assert [elf.sections[r.section].name for r in found] == [".text.start"]
    assert found[0].symbol.section == 0


@pytest.mark.parametrize("cut", [5, 20, 63, 64, 200, -1])
def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path, cut: int) -> None:
    (path,) = compiled(tmp_path, LEAF)
    data = path.read_bytes()
    path.write_bytes(data[:cut])
    with pytest.raises(BuildFailed):
        worst_frames([path], "take")
