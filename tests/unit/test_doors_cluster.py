"""Clusters through both doors: what is asked for, what is told of every node, at any width of the terminal."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hil import api, cli
from hil.cases import Case, Model, board_names, cases, kin, node_counts
from hil.errors import DoesNotFit, NodeFailed, UsageError
from hil.measure import ClusterMeasured
from hil.model import inputs as input_sets
from hil.model.reference import ReferenceResult
from hil.paths import ZOO
from hil.record import Limits, judged_cluster
from tests.support import clusters
from tests.support.clusters import FakeCluster, deployed_cluster, planned_cluster
from tests.support.fakes import tiny_model

pytest_plugins = ["pytester"]
WIDE = tiny_model(4096)


@pytest.fixture
def boards(monkeypatch: pytest.MonkeyPatch) -> list[FakeCluster]:
    """Fake clusters; gives those that were started."""
    return clusters.install(monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(WIDE)
    return path


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str, str]:
    status = cli.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def measured(flip: int = 0) -> tuple[FakeCluster, ClusterMeasured]:
    from hil.measure import Counts, measure_cluster

    cluster = FakeCluster(deployed_cluster(planned_cluster(3, WIDE, objective="ram")))
    values = input_sets.generate(cluster.deployment.graph, 2, 0)
    expected = ReferenceResult("numpy", tuple(cluster.infer(v).outputs for v in values), None)
    cluster.flip = flip
    return cluster, measure_cluster(cluster, values, expected, Counts(1, 2), in_flight=4)


# -- which boards ------------------------------------------------------------------------------------------------------


def test_a_star_makes_the_list_one_cluster() -> None:
    assert board_names(["rp2040,rp2350"]) == ("rp2040", "rp2350")
    assert board_names(["rp2040*3,rp2350"]) == ("rp2040*3,rp2350",)
    assert board_names(["rp2040*3,rp2350", "rp2040"]) == ("rp2040*3,rp2350", "rp2040")


@pytest.mark.parametrize(
    ("text", "board", "counts"),
    [
        (None, "rp2040", (1,)),
        (None, "rp2040*3,rp2350", (4,)),
        ("1,2,4,8", "rp2040", (1, 2, 4, 8)),
        ("2,2, 4", "rp2040", (2, 4)),
        ("2,4", "rp2040*3,rp2350", (4,)),
    ],
)
def test_numbers_of_nodes(text: str | None, board: str, counts: tuple[int, ...]) -> None:
    assert node_counts(text, board) == counts


@pytest.mark.parametrize(
    ("text", "board", "why"),
    [
        ("", "rp2040", "names no number"),
        ("0", "rp2040", "'0' is no number of nodes in 1..16"),
        ("17", "rp2040", "'17' is no number of nodes"),
        ("all", "rp2040", "'all' is no number of nodes"),
        ("2", "rp2040*3,rp2350", "names 4 boards"),
    ],
)
def test_wrong_numbers_of_nodes(text: str, board: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        node_counts(text, board)
    assert why in caught.value.message


def test_ids_say_how_many_nodes_and_those_of_one_stay_as_they_were(model: Path) -> None:
    found = cases([Model("kws", model)], ["rp2040", "rp2040*3,rp2350"], "1", None)
    assert [case.id for case in found] == ["kws-rp2040-1core", "kws-rp2040x3+rp2350-1core-4node"]
    found = cases([Model("kws", model)], ["rp2040"], "1,2", "1,4")
    ids = ["kws-rp2040-1core", "kws-rp2040-2core", "kws-rp2040-1core-4node", "kws-rp2040-2core-4node"]
    assert [case.id for case in found] == ids
    assert cases([Model("kws", model)], ["rp2040*4"], "1", None) == (Case(Model("kws", model), "rp2040", 1, 4),)


def test_cases_that_differ_in_their_models_alone(tmp_path: Path) -> None:
    models = []
    for name, size in (("big", 20), ("small", 10), ("middle", 15)):
        path = tmp_path / name
        path.write_bytes(bytes(size))
        models.append(Model(name, path))
    found = kin(cases(models, ["rp2040"], "1", "2,4"))
    assert list(found) == ["rp2040-1core-2node", "rp2040-1core-4node"]
    assert [case.model.name for case in found["rp2040-1core-4node"]] == ["small", "middle", "big"]


# -- hil plan, hil profile ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", ["80", "200"])
def test_a_plan_of_several_boards(
    width: str, model: Path, boards: list[FakeCluster], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", width)
    status, out, err = run(capsys, "plan", model, "--board", "rp2040*3,rp2350")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= int(width)
    for word in ("4 nodes", "uart-3M", "compute", "wire", "kernel-wise, as published", "this plan", "rp2350"):
        assert word in " ".join(out.split()), word
    record = json.loads(run(capsys, "plan", model, "--board", "rp2040*3,rp2350", "--json", "-")[1])
    assert (record["schema"], record["fits"], record["link"]) == ("hil.plan/1", True, "uart-3M")
    assert [node["board"] for node in record["nodes"]] == ["rp2040"] * 3 + ["rp2350"]
    assert {"total", "compute", "wire"} <= set(record["latency"])
    assert {"single_node", "single_node_line_buffered", "kernel_wise"} <= set(record["compare"])
    assert boards == [], "planning touches no board"


@pytest.mark.parametrize("width", ["80", "200"])
def test_a_profile_of_several_boards(
    width: str, model: Path, boards: list[FakeCluster], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", width)
    status, out, err = run(capsys, "profile", model, "--board", "rp2040", "--nodes", "2", "--throughput", "4")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= int(width)
    for word in ("on 2 x rp2040", "0 of", "elements differ", "predicted", "inferences a second", "pass"):
        assert word in " ".join(out.split()), word
    (cluster,) = boards
    assert not any(station.alive_now for station in cluster.stations), "all boards are freed"


def test_the_record_of_a_profile(model: Path, boards: list[FakeCluster], capsys: pytest.CaptureFixture[str]) -> None:
    words = ("profile", model, "--board", "rp2040", "--nodes", "3", "--json", "-", "--objective", "ram")
    first, second = run(capsys, *words), run(capsys, *words)
    assert first == second
    record = json.loads(first[1])
    assert (record["schema"], record["nodes"], record["board"], record["link"]) == (
        "hil.profile/1", 3, "rp2040", "uart-3M",
    )  # fmt: skip
    assert [node["node"] for node in record["per_node"]] == [0, 1, 2]
    fullest = record["per_node"][record["fullest_node"]]
    assert record["memory"] == fullest["memory"]
    predicted = [node["memory"]["ram_predicted"] for node in record["per_node"]]
    assert fullest["memory"]["ram_predicted"] == max(predicted)
    latency = record["latency"]
    assert latency["compute"] + latency["wait"] + latency["wire"] == latency["median"]
    assert set(latency["predicted"]) == {"total", "compute", "wire", "wait"}
    assert latency["prediction_error"] == pytest.approx(latency["predicted"]["total"] / latency["median"] - 1, abs=1e-3)
    assert any(len(node["steps"]) > 1 for node in record["per_node"]), "they exchange something"
    for node in record["per_node"]:
        for part in ("compute", "wait", "wire"):
            assert sum(step[part] for step in node["steps"]) == node["latency"][part]
        for before, behind in zip(node["steps"], node["steps"][1:], strict=False):
            assert before["begin"] + before["compute"] + before["wait"] + before["wire"] == behind["begin"]


@pytest.mark.parametrize("width", ["80", "200"])
def test_every_exchange_is_shown_to_who_asks(
    width: str, model: Path, boards: list[FakeCluster], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", width)
    status, out, err = run(
        capsys, "profile", model, "--board", "rp2040", "--nodes", "2", "--objective", "ram", "--steps"
    )
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= int(width)
    assert "receive from node 0" in " ".join(out.split())
    assert "to the end" in out


def test_steps_are_of_several_boards(
    model: Path, boards: list[FakeCluster], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "profile", model, "--board", "rp2040", "--steps")
    assert (status, out) == (2, "")
    assert "--nodes 2" in err


def test_one_board_with_an_objective_is_held_against_other_ways(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hil import deployment
    from tests.support.fakes import FOOTPRINT

    monkeypatch.setattr(deployment, "_footprint", lambda *_, **__: FOOTPRINT)
    status, out, err = run(capsys, "plan", model, "--board", "rp2040", "--objective", "ram")
    assert (status, err) == (0, "")
    assert "one node, line buffers" in out
    record = json.loads(run(capsys, "plan", model, "--board", "rp2040", "--objective", "ram", "--json", "-")[1])
    assert record["objective"] == "ram"
    assert set(record["compare"]) == {"single_node", "single_node_line_buffered", "kernel_wise"}


def test_a_build_of_several_boards_names_the_nodes(
    model: Path, tmp_path: Path, boards: list[FakeCluster], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made = deployed_cluster(planned_cluster(2, WIDE))
    elf = tmp_path / "firmware.elf"
    elf.write_bytes(b"elf")
    nodes = tuple(replace(node, image=replace(node.image, elf=elf, bin=None, uf2=None)) for node in made.nodes)
    monkeypatch.setattr(api, "prepare_cluster", lambda *_, **__: replace(made, nodes=nodes))
    out = tmp_path / "out"
    status, text, _ = run(capsys, "build", model, "--board", "rp2040", "--nodes", "2", "--output", out, "--json", "-")
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == ["tiny-rp2040-node0.elf", "tiny-rp2040-node1.elf"]
    assert [node["board"] for node in json.loads(text)["per_node"]] == ["rp2040", "rp2040"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--board", "rp2040*3", "--nodes", "2"), "names 3 boards"),
        (("--board", "rp2040", "--nodes", "17"), "a cluster has 1..16 nodes"),
        (("--board", "rp2040*2", "--cores", "3"), "rp2040 has 2 cores"),
        (("--board", "rp2040*2", "--link", "string"), "no wire is called 'string'"),
        (("--board", "rp2040*2", "--link", "loopback"), "rp2040"),
        (
            (
                "--board",
                "mps2-an521*2",
            ),
            "mps2-an521 has no network port",
        ),
        (
            (
                "--board",
                "rp2040*2,pico",
            ),
            "no board is called 'pico'",
        ),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
@pytest.mark.parametrize("command", ["plan", "build", "profile"])
def test_wrong_clusters_are_usage_errors(
    command: str, words: tuple[str, ...], why: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, command, model, *words)
    assert (status, out) == (2, "")
    assert why in err


@pytest.mark.parametrize(
    ("words", "why"),
    [(("--nodes", "1"), "one inference at a time"), (("--nodes", "2", "--objective", "ram"), "for throughput keep")],
    ids=["one board", "another objective"],
)
def test_inferences_one_behind_the_other_need_a_plan_for_them(
    words: tuple[str, ...], why: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, "profile", model, "--board", "rp2040", *words, "--throughput", "5")
    assert status == 2
    assert why in " ".join(err.split())


def test_layers_are_of_one_board(model: Path, boards: list[FakeCluster], capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "profile", model, "--board", "rp2040*2", "--layers")
    assert status == 2
    assert "--layers" in err


def test_what_does_not_fit_tells_the_tightest_node_and_what_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hil import deployment
    from tests.support.fakes import FOOTPRINT

    monkeypatch.setattr(deployment, "_most", lambda *_, **__: FOOTPRINT)
    path = tmp_path / "wide.tflite"
    path.write_bytes(tiny_model(width=1_000_000))
    status, out, err = run(capsys, "plan", path, "--board", "rp2040", "--nodes", "2")
    assert (status, out) == (3, "")
    for part in ("does not fit on 2 nodes", "node 1 (rp2040)", "FULLY_CONNECTED", "--nodes 4", "fewest"):
        assert part in " ".join(err.split()), err


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_a_wrong_answer_is_a_bad_verdict() -> None:
    cluster, found = measured(flip=1)
    verdict = judged_cluster(cluster.deployment, found, "virtual", Limits())
    assert not verdict.passed
    assert "differ from the reference" in verdict.reasons[0]


def test_every_nodes_ram_is_judged() -> None:
    cluster, found = measured()
    good = judged_cluster(cluster.deployment, found, "virtual", Limits())
    assert good.passed
    assert found.throughput is not None
    assert found.throughput.inferences == 4
    nodes = list(found.nodes)
    nodes[2] = replace(nodes[2], ram=replace(nodes[2].ram, static=nodes[2].ram.static + 1))
    bad = judged_cluster(cluster.deployment, replace(found, nodes=tuple(nodes)), "virtual", Limits())
    assert [reason.split(":")[0] for reason in bad.reasons] == ["node 2"]
    limited = judged_cluster(cluster.deployment, found, "virtual", Limits(latency_us=1.0, ram_bytes=100))
    assert len(limited.reasons) == 4, "three nodes over a limit of RAM, and the latency"


# -- pytest ------------------------------------------------------------------------------------------------------------

CONFTEST = """
import pytest
from tests.support import clusters, fakes

_patch = pytest.MonkeyPatch()
clusters.install(_patch)
fakes.install(_patch)

def pytest_unconfigure(config):
    _patch.undo()
"""
ON = ("--board=rp2040", "--hil-no-zoo", "--hil-model=tiny.tflite")


@pytest.fixture
def session(pytester: pytest.Pytester, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("HIL_CACHE_DIR", str(shared_cache))
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("PYTEST_ADDOPTS", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    (pytester.path / "tiny.tflite").write_bytes(WIDE)
    pytester.makeconftest(CONFTEST)
    return pytester


def test_cases_of_one_board_and_of_several_go_to_the_tests_that_ask_for_them(session: pytest.Pytester) -> None:
    session.makepyfile("def test_a(dut): pass\ndef test_b(cluster): pass\ndef test_c(hil_board): pass")
    result = session.runpytest(*ON, "--hil-nodes=1,2,4", "--collect-only", "-q")
    ids = [line.split("::")[1] for line in result.outlines if "::" in line]
    assert ids == [
        "test_a[tiny-rp2040-1core]", "test_c[rp2040]", "test_b[tiny-rp2040-1core-2node]",
        "test_b[tiny-rp2040-1core-4node]",
    ] or sorted(ids) == [
        "test_a[tiny-rp2040-1core]", "test_b[tiny-rp2040-1core-2node]", "test_b[tiny-rp2040-1core-4node]",
        "test_c[rp2040]",
    ]  # fmt: skip


def test_without_clusters_their_tests_are_skipped(session: pytest.Pytester) -> None:
    session.makepyfile("def test_a(hil_kin, hil_fault): raise AssertionError\ndef test_b(dut): pass")
    result = session.runpytest(*ON, "-rs", "--hil-fault-runs=1")
    result.assert_outcomes(passed=1, skipped=1)
    assert "more than one board (--hil-nodes)" in "\n".join(result.outlines)


def test_a_cluster_of_two_kinds(session: pytest.Pytester) -> None:
    session.makepyfile("def test_a(cluster): assert len(cluster.deployment.nodes) == 4")
    result = session.runpytest("--board=rp2040*3,rp2350", *ON[1:])
    result.assert_outcomes(passed=1)
    assert "rp2040*3,rp2350 on the virtual bench" in "\n".join(result.outlines)


def test_the_suite_passes_on_fake_clusters(session: pytest.Pytester) -> None:
    session.makepyfile("from hil.suite.test_split import *")
    result = session.runpytest(*ON, "--hil-nodes=2,3", f"--junitxml={session.path / 'r.xml'}", "--hil-objective=ram")
    result.assert_outcomes(passed=8)
    found = {
        case.attrib["name"]: {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        for case in ET.parse(session.path / "r.xml").iter("testcase")
    }
    told = found["test_split_outputs[tiny-rp2040-1core-2node]"]
    assert (told["hil.nodes"], told["hil.link"], told["hil.mismatches"]) == ("2", "uart-3M", "0")
    assert {"hil.latency_us_predicted", "hil.compute_us", "hil.wire_us", "hil.wait_us"} <= set(told)
    assert "rp2040 2 nodes" in "\n".join(result.outlines)


def test_a_cluster_that_failed_is_replaced_for_the_next_test(session: pytest.Pytester) -> None:
    session.makepyfile(
        "from hil.errors import NodeFailed\nseen = []\n"
        "def test_a(cluster):\n    seen.append(cluster)\n    raise NodeFailed('node 1 hangs')\n"
        "def test_b(cluster):\n    assert cluster is not seen[0]\n    seen.append(cluster)\n    cluster.lost = (1,)\n"
        "def test_c(cluster): assert cluster is not seen[1]\n"
    )
    session.runpytest(*ON, "--hil-nodes=2").assert_outcomes(passed=2, failed=1)
    assert issubclass(NodeFailed, Exception)


def test_refusals_are_told_by_both_doors(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise DoesNotFit("no", needed=2, available=1, operator="o", tensor="t", node=3, hint="--nodes 5")

    monkeypatch.setattr(api, "plan_cluster_for", refuse)
    with pytest.raises(DoesNotFit) as caught:
        api.profile(model, api.Request("rp2040", nodes=4))
    assert (caught.value.node, caught.value.exit_status) == (3, 3)


def test_a_plan_that_does_not_fit_says_where_and_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    model = ZOO / "resnet8" / "resnet8.tflite"
    assert cli.main(["plan", str(model), "--board", "rp2040:40K", "--json", "-"]) == 3
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert (record["fits"], record["fits_on_nodes"]) == (False, 1)
    assert record["tightest"]["needed"] > record["tightest"]["available"] == 40 * 1024
    assert "--objective ram" in said.err
    assert cli.main(["plan", str(model), "--board", "rp2040:40K", "--objective", "ram", "--json", "-"]) == 0
    capsys.readouterr()
    assert cli.main(["plan", str(model), "--board", "rp2040:24K", "--objective", "ram", "--json", "-"]) == 3
    record = json.loads(capsys.readouterr().out)
    assert record["fits_on_nodes"] > 1
    assert record["tightest"]["operator"].startswith("operator ")
