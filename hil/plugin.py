"""The pytest plugin: options, fixtures, parametrisation, properties, summary. The work itself is done elsewhere."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hil.cases import Case
    from hil.cluster import Cluster
    from hil.deployment import ClusterDeployment, Deployment, Tensors
    from hil.dut import Dut
    from hil.model.reference import ReferenceResult
    from hil.pytest_baseline import Held
    from hil.pytest_history import Kept
    from hil.pytest_session import Session
    from hil.record import ClusterProfile, Compared, Limits, Profile

OBJECTIVES = ("latency", "ram", "traffic", "throughput")  # hil.nodes has them too, which is not loaded by then
_SESSION: pytest.StashKey[Session] = pytest.StashKey()
_CASES: pytest.StashKey[tuple[Case, ...]] = pytest.StashKey()
_KEPT: pytest.StashKey[Kept | None] = pytest.StashKey()
_HELD: pytest.StashKey[Held] = pytest.StashKey()
_BENCHES: pytest.StashKey[str] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hil", "hardware-in-the-loop tests (hil)")
    add = group.addoption
    add("--board", action="append", default=[], metavar="NAME",
        help="board kind to test on, repeatable or with commas ('hil boards' lists them); "
             "with '*' one cluster: 'rp2040*3,rp2350'")  # fmt: skip
    add("--hil-model", action="append", default=[], type=Path, metavar="PATH",
        help="a .tflite file to test, repeatable; added to the zoo")  # fmt: skip
    add("--hil-zoo", action="append", default=[], type=Path, metavar="DIR",
        help="a folder of models with limits, repeatable; added to the built-in zoo")  # fmt: skip
    add("--hil-no-zoo", action="store_true", help="leave the built-in zoo out")
    add(
        "--hil-inputs", type=int, metavar="N", help="input sets for each model (default: the zoo entry's count, else 4)"
    )
    add("--hil-seed", type=int, metavar="S", help="seed of the input sets (default: the zoo entry's, else 0)")
    add("--hil-cores", default="1", metavar="LIST",
        help="numbers of cores to test with, such as '1,2,all' (default: 1)")  # fmt: skip
    add("--hil-nodes", metavar="LIST",
        help="numbers of boards to split over, such as '1,2,4' (default: 1; of a cluster, its own)")  # fmt: skip
    add("--hil-link", metavar="NAME", help="the wire between nodes, such as uart-3M (default: the board's)")
    add("--hil-objective", choices=OBJECTIVES, default="latency",
        help="what split plans are searched for (default: latency)")  # fmt: skip
    add("--hil-fault-runs", type=int, default=20, metavar="N",
        help="seeded faults of a cluster to try (default: 20)")  # fmt: skip
    add("--hil-bench", default="auto", metavar="WHERE",
        help="where boards are: auto (this machine's lab file, what is plugged in, else virtual), virtual, "
             "the path of a lab file, or labgrid:HOST:PORT[,TAG=VALUE][,wait=SECONDS] (default: auto)")  # fmt: skip
    add("--hil-flash", choices=("tool", "direct"), default="tool",
        help="how images come onto virtual boards that can be flashed: by the tool that flashes such boards, or put "
             "there directly, which is not how a real board gets one (default: tool)")  # fmt: skip
    add("--hil-require-hardware", action="store_true", help="fail where only a virtual board can be reached")
    add("--hil-load", choices=("flash", "ram"), default="flash",
        help="where images lie (default: flash); ram: a debugger writes them there, without wear")  # fmt: skip
    add("--hil-console", choices=("uart", "rtt"),
        help="the console of firmware (default: the lab file's, else uart); rtt: in RAM, by a debugger")  # fmt: skip
    add("--hil-warmup", type=int, metavar="N", help="runs before timing (default: 2; on a virtual board 1)")
    add("--hil-repeats", type=int, metavar="N", help="timed runs (default: 10; on a virtual board 2)")
    add("--hil-history", type=Path, metavar="FILE",
        help="the history to keep the run in (default: $HIL_HISTORY, else the user's)")  # fmt: skip
    add("--hil-no-history", action="store_true", help="keep nothing of the run")
    add("--hil-baseline", default="auto", metavar="WHAT",
        help="what measurements are held against: auto (the folder 'baselines' beside the ini file, if it is there), a "
             "folder, last:N (the last N good runs of this branch), last:N@BRANCH, none (default: auto)")  # fmt: skip
    add("--hil-update-baseline", action="store_true",
        help="write the baselines anew if all tests passed, and tell what changed")  # fmt: skip
    parser.addini("hil_effects", type="linelist", default=[],
        help="changes that matter, a line each: board=B model=M measure=latency least=\"5 %%\"")  # fmt: skip
    add(
        "--hil-toolchain",
        choices=("zig", "gcc", "asan", "tsan"),
        default="zig",
        help="compiler for firmware (default: zig, from pip); asan, tsan: gcc or clang with sanitizers, for native",
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from hil import hookspec

    pluginmanager.add_hookspecs(hookspec)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hil_limits(latency_us=None, ram_bytes=None): limits for this test's deployment")
    config.addinivalue_line("markers", "hil_accuracy: only models that have an accuracy set")
    config.addinivalue_line("markers", "hil_several_cores: only deployments on more than one core")
    config.pluginmanager.register(_Summary(), "hil-summary")
    if config.getoption("board"):
        from hil.pytest_bounds import Bounds

        config.pluginmanager.register(Bounds(), "hil-bounds")
    for name, least in (
        ("hil_inputs", 1),
        ("hil_seed", 0),
        ("hil_warmup", 0),
        ("hil_repeats", 1),
        ("hil_fault_runs", 1),
    ):
        value = config.getoption(name)
        if value is not None and value < least:
            raise pytest.UsageError(f"--{name.replace('_', '-')} {value}: at least {least} is needed")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse what is wrong of board, model, zoo, lab, history, baseline now: later it looks like a broken test."""
    if _cases(session.config):
        from hil.pytest_progress import begin

        held(session.config)
        begin(session.config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    cases = _cases(config)
    if not cases:
        return []
    run = kept(config)
    count = len({case.model.name for case in cases})
    lines = [f"hil: {_benches(config)}; {count} model{'s' * (count != 1)}"]
    return lines + ([f"history: run {run.run} in {run.history.file}"] if run else [])


def _benches(config: pytest.Config) -> str:
    """Where the boards of all cases are; looked for once."""
    if _BENCHES not in config.stash:
        from hil import api
        from hil.pytest_session import where_of

        names = dict.fromkeys(case.board for case in _cases(config))
        config.stash[_BENCHES] = ", ".join(api.bench_title(name, where_of(config)) for name in names)
    return config.stash[_BENCHES]


def kept(config: pytest.Config) -> Kept | None:
    """This session's run in the history, begun at the first call; None without a board, or with `--hil-no-history`."""
    if not _cases(config):
        return None
    if _KEPT not in config.stash:
        from hil.bench import lab_for
        from hil.errors import HilError
        from hil.pytest_history import kept_by
        from hil.pytest_session import where_of

        try:
            lab = lab_for(where_of(config))
            config.stash[_KEPT] = kept_by(config, lab, lambda: _benches(config))
        except HilError as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_KEPT]


def held(config: pytest.Config) -> Held:
    """What this session's measurements are held against, read at the first call."""
    if _HELD not in config.stash:
        from hil.errors import HilError
        from hil.pytest_baseline import held_by

        try:
            config.stash[_HELD] = held_by(config, kept(config))
        except HilError as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_HELD]


def _cases(config: pytest.Config) -> tuple[Case, ...]:
    """All cases, made once; empty without `--board`."""
    if not config.getoption("board"):
        return ()
    if _CASES not in config.stash:
        from hil import cases
        from hil.errors import HilError

        try:
            names = cases.board_names(config.getoption("board"))
            extra = [Path(path) for found in config.hook.pytest_hil_models(config=config) for path in found]
            models = cases.models(
                [*config.getoption("hil_model"), *extra],
                config.getoption("hil_zoo"),
                builtin=not config.getoption("hil_no_zoo"),
                nodes=max(count for name in names for count in cases.node_counts(config.getoption("hil_nodes"), name)),
            )
            found = cases.cases(models, names, config.getoption("hil_cores"), config.getoption("hil_nodes"))
        except HilError as error:
            raise pytest.UsageError(str(error)) from error
        if not models:
            raise pytest.UsageError("--hil-no-zoo leaves no model to test; add --hil-model PATH or --hil-zoo DIR")
        config.stash[_CASES] = found
    return config.stash[_CASES]


_CLUSTER_FIXTURES = {"cluster", "cluster_changes", "cluster_deployment", "cluster_profile", "hil_kin"}
"""Tests that ask for one of these get the cases on several boards; all others get those on one."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hil_fault" in metafunc.fixturenames:
        some = any(case.nodes > 1 for case in _cases(metafunc.config))  # else one skip says why, not twenty
        runs = metafunc.config.getoption("hil_fault_runs") if some else 1
        metafunc.parametrize("hil_fault", range(runs), ids="fault{}".format)
    wanted = [name for name in ("hil_case", "hil_board", "hil_kin") if name in metafunc.fixturenames]
    if not wanted:
        return
    cases = _cases(metafunc.config)
    why = "needs a board: --board NAME ('hil boards' lists them)"
    if cases and metafunc.definition.get_closest_marker("hil_accuracy"):
        cases = tuple(case for case in cases if case.model.zoo and case.model.zoo.accuracy)
        why = "no model of this run has an accuracy set"
    if cases and metafunc.definition.get_closest_marker("hil_several_cores"):
        cases = tuple(case for case in cases if case.cores > 1)
        why = "no deployment of this run is on more than one core (--hil-cores)"
    split = not _CLUSTER_FIXTURES.isdisjoint(metafunc.fixturenames)
    if cases and not (cases := tuple(case for case in cases if (case.nodes > 1) == split)):
        why = f"no deployment of this run is on {'more than one board' if split else 'one board alone'} (--hil-nodes)"
    rows: dict[str, tuple[Any, ...]]
    if "hil_kin" in wanted:
        from hil.cases import kin

        rows = {name: (found,) for name, found in kin(cases).items()}
    elif wanted == ["hil_board"]:
        rows = {case.board: (case.board,) for case in cases}
    else:
        rows = {case.id: (case, case.board)[: len(wanted)] for case in cases}
    values = [pytest.param(*row, id=name) for name, row in rows.items()]
    if not values:
        values = [pytest.param(*[None] * len(wanted), id="none", marks=pytest.mark.skip(reason=why))]
    metafunc.parametrize(wanted, values, scope="session")


# -- fixtures: documented in docs/fixtures.md --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hil_session(pytestconfig: pytest.Config) -> Iterator[Session]:
    """What all cases share: built images, references, and the one board that runs now."""
    from hil.pytest_progress import progress
    from hil.pytest_session import Session

    with Session(pytestconfig, progress(pytestconfig), kept(pytestconfig), held(pytestconfig)) as session:
        pytestconfig.stash[_SESSION] = session
        yield session
    del pytestconfig.stash[_SESSION]


@pytest.fixture(scope="session")
def hil_cases(pytestconfig: pytest.Config) -> tuple[Case, ...]:
    """All cases of this run: what `hil_case` goes through."""
    return _cases(pytestconfig)


@pytest.fixture
def deployment(hil_case: Case, hil_session: Session) -> Deployment:
    """The case's model, planned and built for the case's board."""
    return hil_session.deployment(hil_case)


@pytest.fixture
def model_inputs(hil_case: Case, hil_session: Session) -> tuple[Tensors, ...]:
    """The seeded input sets of the case's model (`--hil-inputs`, `--hil-seed`)."""
    return hil_session.inputs(hil_case)


@pytest.fixture
def reference(hil_case: Case, hil_session: Session) -> ReferenceResult:
    """What the host's TFLite reference kernels make of `model_inputs`."""
    return hil_session.reference(hil_case)


@pytest.fixture
def layer_reference(hil_case: Case, hil_session: Session) -> ReferenceResult:
    """The same with every operator's output."""
    return hil_session.reference(hil_case, layers=True)


@pytest.fixture
def dut(hil_case: Case, hil_session: Session) -> Iterator[Dut]:
    """A board that runs the case's deployment. One that failed in the test before is replaced."""
    with hil_session.lent(hil_case) as running:
        yield running


@pytest.fixture
def profile(hil_case: Case, hil_session: Session, request: pytest.FixtureRequest) -> Profile:
    """The measurement of the case, made once and shared by the tests that judge it.

    It is judged by the zoo's limits, or by the test's own: `@pytest.mark.hil_limits(latency_us=..., ram_bytes=...)`.
    """
    limits = _limits(request.node)
    found = hil_session.profile(hil_case)
    if limits is None:
        return found
    from hil.record import judged

    return judged(found.deployment, found.measured, found.source, limits, found.flashed)


@pytest.fixture
def cluster_deployment(hil_case: Case, hil_session: Session) -> ClusterDeployment:
    """The case's model, planned for several boards and built for each."""
    return hil_session.cluster_deployment(hil_case)


@pytest.fixture
def cluster(hil_case: Case, hil_session: Session) -> Iterator[Cluster]:
    """Boards that run the case's deployment together. They are replaced where the test before lost one."""
    with hil_session.cluster(hil_case) as running:
        yield running


@pytest.fixture
def cluster_profile(hil_case: Case, hil_session: Session) -> ClusterProfile:
    """The measurement of the case on its cluster, made once and shared by the tests that judge it."""
    return hil_session.cluster_profile(hil_case)


@pytest.fixture
def changes(hil_case: Case, hil_session: Session, profile: Profile) -> Compared:  # noqa: ARG001 - measures the case
    """What changed since the baseline, worst first. Without a baseline the test is skipped, with the reason."""
    return _changes(hil_session, hil_case)


@pytest.fixture
def cluster_changes(
    hil_case: Case,
    hil_session: Session,
    cluster_profile: ClusterProfile,  # noqa: ARG001 - measures the case
) -> Compared:
    """The same of a case on its cluster."""
    return _changes(hil_session, hil_case)


def _changes(session: Session, case: Case) -> Compared:
    found = session.compared(case)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def _limits(node: pytest.Item) -> Limits | None:
    """What the test's own `hil_limits` says, or None."""
    if (marker := node.get_closest_marker("hil_limits")) is None:
        return None
    from hil.record import Limits

    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in marker.kwargs.values())
    if marker.args or not marker.kwargs or not numbers or not set(marker.kwargs) <= {"latency_us", "ram_bytes"}:
        pytest.fail(
            f"hil_limits takes latency_us=..., ram_bytes=... or both, above 0; not {marker.args} {marker.kwargs}",
            pytrace=False,
        )
    return Limits(**marker.kwargs)


# -- results: JUnit properties, and the table at the end ---------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what is known of the case to the test, as properties that JUnit and xdist carry.

    A board that a test saw fail is powered off here: fixtures are not told how their test ended.
    """
    session, run = item.config.stash.get(_SESSION, None), item.config.stash.get(_KEPT, None)
    found: dict[str, Any] = {}
    params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    if session is not None:
        session.note_failure(call.excinfo.value if call.excinfo else None, params.get("hil_case"))
        if params.get("hil_case") is not None:
            found = session.properties(params["hil_case"])
        elif params.get("hil_board") is not None:
            found = {"hil.board": params["hil_board"]}
        if run is not None and found:
            found["hil.run"] = run.run
        known = dict(item.user_properties)
        item.user_properties += [(k, v) for k, v in found.items() if k not in known]
    report = yield
    if run is not None:
        from hil.pytest_history import tell

        place, said = session.last_seen(params.get("hil_case")) if session is not None else ("", "")
        tell(report, call, found, place, said)
    if session is not None and params.get("hil_case") is not None:
        from hil.pytest_baseline import attach

        attach(report, *session.news(params["hil_case"]))
    return report


class _Summary:
    """Gathers the properties of all reports, from this process or from xdist's workers, and draws the closing table."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, ...], dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        known = dict(report.user_properties)
        if "hil.model" not in known:
            return
        from hil.pytest_baseline import attached

        key = tuple(str(known.get(name)) for name in ("hil.model", "hil.board", "hil.cores", "hil.nodes"))
        row = self.rows.setdefault(key, {"failed": 0, "passed": 0})
        row.update(known)
        row["failed"] += report.failed
        row["passed"] += report.passed and report.when == "call"
        if (found := attached(report)) is not None:
            row["changes"] = found

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.rows:
            return
        from hil.report.summary import summary_lines

        terminalreporter.section("hil", sep="=")
        every = terminalreporter.verbosity > 0
        for line in summary_lines(list(self.rows.values()), terminalreporter._tw.fullwidth, operators=every):
            terminalreporter.write_line(line)
        for row in self.rows.values():
            if "hil.recovery" in row:
                terminalreporter.write_line(f"recovered: {row['hil.recovery']}")
