"""Input sets: seeded ones that stay as they are when more are added, and files that are held against the model."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.errors import UsageError
from hil.model import inputs, tflite
from hil.model.graph import Graph
from hil.model.inputs import generate, load
from tests.support.models import small_model, zoo_file


@pytest.fixture(scope="module")
def small() -> Graph:
    return tflite.parse(small_model(), "small")


@pytest.fixture(scope="module")
def multi() -> Graph:
    return tflite.load(zoo_file("op_multi_io"))


@pytest.fixture(scope="module")
def floats() -> Graph:
    return tflite.load(zoo_file("op_float_edges"))


def _same(a: inputs.InputSets, b: inputs.InputSets) -> bool:
    return all(np.array_equal(x, y) for one, two in zip(a, b, strict=True) for x, y in zip(one, two, strict=True))


@given(count=st.integers(1, 12), more=st.integers(0, 12), seed=st.integers(0, 2**63))
def test_more_sets_do_not_change_the_first_ones(multi: Graph, count: int, more: int, seed: int) -> None:
    few, many = generate(multi, count, seed), generate(multi, count + more, seed)
    assert _same(few, many[:count])
    for given_set in many:
        for array, index in zip(given_set, multi.inputs, strict=True):
            assert (array.shape, array.dtype) == (multi.tensors[index].shape, np.int8)


def test_seed_model_and_number_each_matter(small: Graph) -> None:
    other = tflite.parse(small_model() + b"\0", "small")
    base = generate(small, 6, 7)
    assert not np.array_equal(base[0][0], generate(small, 1, 8)[0][0])
    assert not np.array_equal(base[0][0], generate(other, 1, 7)[0][0])
    assert not np.array_equal(base[4][0], base[5][0])


def test_the_sets_of_a_seed_are_the_same_everywhere(small: Graph) -> None:
    # Written down once: a change of the generator would make stored baselines mean something else.
    graph = replace(small, sha256="0" * 64)
    assert generate(graph, 1, 0)[0][0].ravel()[:8].tolist() == [-97, -15, 43, 60, -60, -9, -44, 94]
    assert generate(graph, 5, 2026)[4][0].ravel()[:8].tolist() == [112, -71, -116, -10, 64, -127, -18, 51]


def test_corners(small: Graph, floats: Graph) -> None:
    sets = generate(small, 4, 1)
    assert [np.unique(one[0]).tolist() for one in sets[1:]] == [[-128], [127], [3]]
    low, high, zero = (float(one[0].flat[0]) for one in generate(floats, 4, 1)[1:])
    quantised = floats.tensors[floats.operators[0].outputs[0]].quantisation
    assert quantised is not None
    assert low < quantised.scale[0] * (-128 - quantised.zero_point[0]) < 0.0 == zero
    assert high > quantised.scale[0] * (127 - quantised.zero_point[0])


def test_int8_sets_use_the_whole_range() -> None:
    graph = tflite.load(zoo_file("resnet8"))
    assert np.unique(generate(graph, 1, 0)[0][0]).tolist() == list(range(-128, 128))


def test_float_sets_reach_every_step_and_the_halves_between(floats: Graph) -> None:
    values = np.concatenate([one[0].ravel() for one in generate(floats, 204, 0)[4:]])
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    quantised = floats.tensors[floats.operators[0].outputs[0]].quantisation
    assert quantised is not None
    steps = values / np.float32(quantised.scale[0]) + quantised.zero_point[0]
    assert set(range(-128, 128)) <= set(np.round(steps).astype(int).tolist())
    assert steps.min() < -128.5
    assert steps.max() > 127.5
    assert np.count_nonzero(np.abs(np.abs(steps - np.floor(steps)) - 0.5) < 1e-4) > len(values) // 16


@pytest.mark.parametrize("scale", [3e38, 1e-38])
def test_float_sets_stay_finite(floats: Graph, scale: float) -> None:
    data = floats.source.replace(np.float32(0.037).tobytes(), np.float32(scale).tobytes())
    assert data != floats.source
    for one in generate(tflite.parse(data, "extreme"), 8, 0):
        assert np.isfinite(one[0]).all()


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one(small: Graph, count: int) -> None:
    with pytest.raises(UsageError, match="at least one"):
        generate(small, count, 0)


def test_files(small: Graph, multi: Graph, tmp_path: Path) -> None:
    sets = generate(small, 3, 0)
    stacked = np.stack([one[0] for one in sets])
    np.save(tmp_path / "a.npy", stacked)
    np.save(tmp_path / "b.npy", stacked[:, 0])  # without the model's own batch axis
    np.savez(tmp_path / "c.npz", x=stacked)  # by the tensor's name
    for name in ("a.npy", "b.npy", "c.npz"):
        assert _same(load(tmp_path / name, small), sets)
    sets = generate(multi, 2, 0)
    np.savez_compressed(tmp_path / "d.npz", **{f"input_{k}": np.stack([one[k] for one in sets]) for k in range(3)})
    assert _same(load(tmp_path / "d.npz", multi), sets)


def _write(path: Path, what: str) -> None:
    good = np.zeros((2, 1, 4, 4, 2), np.int8)
    match what:
        case "type":
            np.save(path, good.astype(np.int16))
        case "shape":
            np.save(path, good[..., :1])
        case "rank":
            np.save(path, good[0, 0])
        case "none":
            np.save(path, good[:0])
        case "pickle":
            np.save(path, np.array([{}], dtype=object), allow_pickle=True)
        case "garbage":
            path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00{'descr': [[[[")
        case "truncated":
            np.save(path, good)
            path.write_bytes(path.read_bytes()[:-5])
        case "huge":
            np.save(path, good)
            path.write_bytes(path.read_bytes().replace(b"(2, 1, 4, 4, 2)", b"(9999999999999,"))
        case _:
            path.write_bytes(b"")


@pytest.mark.parametrize("what", ["type", "shape", "rank", "none", "pickle", "garbage", "truncated", "huge", "empty"])
def test_npy_files_that_do_not_fit(small: Graph, tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.npy"
    _write(path, what)
    with pytest.raises(UsageError, match=r"inputs .*x\.npy"):
        load(path, small)


def test_npz_files_that_do_not_fit(
    multi: Graph, floats: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = generate(multi, 2, 0)
    arrays = {f"input_{k}": np.stack([one[k] for one in sets]) for k in range(3)}
    path = tmp_path / "x.npz"
    np.savez(path, **{name: arrays[name] for name in ("input_0", "input_1")})
    with pytest.raises(UsageError, match="no array 'input_2'"):
        load(path, multi)
    np.savez(path, **(arrays | {"input_1": arrays["input_1"][:1]}))
    with pytest.raises(UsageError, match="the same number"):
        load(path, multi)
    np.savez(path, input_0=np.full((1, 2, 12), np.nan, np.float32))
    with pytest.raises(UsageError, match="not finite"):
        load(path, floats)
    np.savez(path, **arrays)
    monkeypatch.setattr(inputs, "_FILE_BYTES", 100)
    with pytest.raises(UsageError, match="up to 100 are read"):
        load(path, multi)
    monkeypatch.undo()
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(UsageError, match="plain arrays"):
        load(path, multi)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("input_0.npy", b"no array")
    with pytest.raises(UsageError):
        load(path, multi)
    path.write_text("no archive")
    with pytest.raises(UsageError, match="plain arrays"):
        load(path, multi)
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "none.npz", multi)
