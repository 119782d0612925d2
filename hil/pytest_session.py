"""What the tests of one pytest session share: builds, references, measurements, and the one board that runs now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest

from hil import api
from hil.bench import Where
from hil.bench.virtual import drop_boards, keeping_boards
from hil.cases import Case
from hil.cluster import Cluster
from hil.deployment import ClusterDeployment, Deployment, Say, Tensors
from hil.dut import Dut
from hil.errors import BoardBusy, DeviceError, HilError, InfrastructureError, LinkError, NodeFailed
from hil.model import inputs as input_sets
from hil.model.graph import Graph
from hil.model.reference import ReferenceResult
from hil.pytest_baseline import Held, properties
from hil.pytest_history import Kept, told
from hil.record import ClusterProfile, Compared, Profile, Uses, cluster_record, profile_record, variant_record

T = TypeVar("T")


class Session:
    """Lends boards and remembers results; used as a context manager, which frees the board at the end."""

    def __init__(self, config: pytest.Config, say: Say, kept: Kept | None = None, held: Held | None = None) -> None:
        self._config = config
        self._say = say
        self._kept = kept
        self._held = held
        self._compared: dict[str, Compared | None] = {}
        self._news: dict[str, tuple[Compared | None, Mapping[str, Any] | None]] = {}
        self._uses = Uses(kept.used) if kept else Uses()
        self._known: dict[tuple[str, str], Any] = {}
        self._board = ExitStack()
        self._spares = ExitStack()
        self._running: tuple[Case, Dut | Cluster] | None = None
        self._where = where_of(config)
        self._stories: dict[str, list[str]] = {}
        self._benches: dict[str, str] = {}
        self._busy: dict[str, BoardBusy] = {}
        self._places: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._spares.enter_context(keeping_boards())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._power_off()
        self._spares.close()

    def saying(self, case: Case) -> Say:
        """How what is done for a case is said: with its board, where the text does not name it."""
        board = case.board
        return lambda text: self._say(text if not text or board in text else f"{board}: {text}")

    def deployment(self, case: Case) -> Deployment:
        """The case's model, planned and built."""
        return self._once(
            "deployment", case, lambda: api.prepare(case.model.path, self._request(case), say=self.saying(case))
        )

    def cluster_deployment(self, case: Case) -> ClusterDeployment:
        """The case's model, planned for several boards and built for each."""
        path, request = case.model.path, self._request(case)
        return self._once("deployment", case, lambda: api.prepare_cluster(path, request, say=self.saying(case)))

    def graph(self, case: Case) -> Graph:
        """The case's model."""
        return (self.deployment(case) if case.nodes == 1 else self.cluster_deployment(case)).graph

    def inputs(self, case: Case) -> tuple[Tensors, ...]:
        """The case's input sets: the zoo entry's own, or seeded ones; options override count and seed."""
        graph, count, seed = self.graph(case), self._option("hil_inputs"), self._option("hil_seed")

        def make() -> tuple[Tensors, ...]:
            if case.model.zoo:
                return case.model.zoo.input_sets(graph, count=count, seed=seed)
            return input_sets.generate(graph, api.INPUTS if count is None else count, seed or 0)

        return self._once("inputs", case, make)

    def reference(self, case: Case, *, layers: bool = False) -> ReferenceResult:
        """The host reference for the case's input sets."""
        graph, values = self.graph(case), self.inputs(case)
        return self._once(
            f"reference{layers}", case, lambda: api.expected(graph, values, layers=layers, say=self.saying(case))
        )

    def profile(self, case: Case) -> Profile:
        """The case's measurement."""
        return self._once("profile", case, lambda: self._measure(case))

    def _measure(self, case: Case) -> Profile:
        values, result = self.inputs(case), self.reference(case)
        api.prove(self.deployment(case).planned, values[0], result, say=self.saying(case))
        with self.lent(case) as dut:
            made = api.profile_on(dut, values, result, self._request(case), say=self.saying(case))
        self._keep(case, profile_record(made))
        return made

    def cluster_profile(self, case: Case) -> ClusterProfile:
        """The case's measurement on its cluster."""
        return self._once("profile", case, lambda: self._measure_cluster(case))

    def _measure_cluster(self, case: Case) -> ClusterProfile:
        values, result = self.inputs(case), self.reference(case)
        api.prove_cluster(self.cluster_deployment(case).planned, values[0], result, say=self.saying(case))
        with self.cluster(case) as running:
            made = api.profile_on_cluster(running, values, result, self._request(case), say=self.saying(case))
        self._keep(case, cluster_record(made))
        return made

    def _keep(self, case: Case, record: Mapping[str, Any]) -> None:
        if self._kept is not None:
            self._kept.profiled(record, self._uses.place, self._uses.identity)
        if self._held is not None:
            self._compared[case.id] = self._held.against(record)
            self._news[case.id] = self._compared[case.id], record if self._held.update else None
        self._config.hook.pytest_hil_record(config=self._config, record=record)

    def compared(self, case: Case) -> Compared | str:
        """What changed since the baseline, of a case that is measured; or why there is nothing to compare with."""
        found = self._compared.get(case.id)
        if self._held is None or found is None:
            return self._held.why_not if self._held else "no baseline"
        if not found.known:
            return f"{found.title} has nothing of {found.subject}; --hil-update-baseline writes it"
        return found

    def news(self, case: Case) -> tuple[Compared | None, Mapping[str, Any] | None]:
        """What was measured since this was asked last: what changed, and the record if baselines are written anew."""
        return self._news.pop(case.id, (None, None))

    @contextmanager
    def lent(self, case: Case) -> Iterator[Dut]:
        """A board that runs the case. It stays on for the next use, unless this one sees it fail."""
        deployment = self.deployment(case)
        with self._on(case, lambda: api.running(deployment, where=self._where, say=self.saying(case))) as running:
            assert isinstance(running, Dut)
            yield running

    @contextmanager
    def cluster(self, case: Case) -> Iterator[Cluster]:
        """Boards that run the case together. They stay on for the next use, unless this one sees them fail."""
        deployment = self.cluster_deployment(case)
        with self._on(
            case, lambda: api.running_cluster(deployment, where=self._where, say=self.saying(case))
        ) as running:
            assert isinstance(running, Cluster)
            yield running

    @contextmanager
    def _on(self, case: Case, start: Callable[[], AbstractContextManager[Dut | Cluster]]) -> Iterator[Dut | Cluster]:
        """What runs the case: it is started unless it is what ran last, and usable."""
        if self._running is None or self._running[0] != case or not self._running[1].usable:
            self._power_off()
            with _plainly():
                running = self._started(case, start)
            self._running = (case, running)
            self._uses.began(running)
            self._places[case.id] = self._uses.place
            self._note_recovery(case, running)
        try:
            yield self._running[1]
        except (InfrastructureError, DeviceError) as error:
            self.note_failure(error)
            raise
        finally:
            self._say("")

    def note_failure(self, error: BaseException | None, case: Case | None = None) -> None:
        """How a test, or its set-up, ended: after an error of board or lab the next one gets a fresh board."""
        if isinstance(error, InfrastructureError | DeviceError):
            self._explain(error)
            self._uses.failed(error)
            self._power_off(failed=True)
        if self._kept is not None and case is not None:
            for aside in self._kept.set_aside():
                self._stories.setdefault(case.id, []).append(aside)

    def last_seen(self, case: Case | None) -> tuple[str, str]:
        """Where the case ran last, if it did, and what was known beside the link when boards failed last."""
        said, self._uses.said = self._uses.said, ""
        return self._places.get(case.id, "") if case is not None else "", said

    def _started(self, case: Case, start: Callable[[], AbstractContextManager[Dut | Cluster]]) -> Dut | Cluster:
        """Start it. Boards that others held for too long are waited for once in a session, not once in a test."""
        if case.board in self._busy:
            raise self._busy[case.board]
        try:
            return self._board.enter_context(start())
        except BoardBusy as error:
            self._busy[case.board] = error
            raise
        except (InfrastructureError, DeviceError) as error:
            self._uses.failed(error)
            raise

    def _explain(self, error: HilError) -> None:
        """Add to an error of a link what the bench knows of it: that a port is gone, or a machine of the lab."""
        if self._running is None or not isinstance(error, LinkError | NodeFailed):
            return
        running = self._running[1]
        for dut in running.duts if isinstance(running, Cluster) else (running,):
            trouble = getattr(dut.station, "trouble", lambda: None)()
            if trouble is not None and trouble.message not in error.message:
                error.message += f"; {trouble.message}"
                error.hint = trouble.hint or error.hint

    def _note_recovery(self, case: Case, running: Dut | Cluster) -> None:
        """Remember what it took to bring the boards to life, where that was more than flashing them."""
        for dut in running.duts if isinstance(running, Cluster) else (running,):
            if story := getattr(dut.station, "recovery", ()):
                self._stories.setdefault(case.id, []).append(f"{dut.place}: {'; '.join(story)}")

    def _power_off(self, *, failed: bool = False) -> None:
        """Free what runs. `failed`: it is not to be used again."""
        self._running = None
        self._uses.ended()
        self._board.close()
        if failed:
            drop_boards()

    def _request(self, case: Case) -> api.Request:
        return api.Request(
            board=case.board,
            cores=case.cores,
            nodes=case.nodes,
            link=self._option("hil_link"),
            objective=self._option("hil_objective") if case.nodes > 1 else None,
            warmup=self._option("hil_warmup"),
            repeats=self._option("hil_repeats"),
            toolchain=self._option("hil_toolchain"),
            load=self._option("hil_load"),
            console=self._option("hil_console"),
            limits=case.model.limits(case.board, case.cores, case.nodes),
            where=self._where,
        )

    def _option(self, name: str) -> Any:
        return self._config.getoption(name)

    def _once(self, what: str, case: Case, make: Callable[[], T]) -> T:
        """Make it once for a case; a failure is remembered too, so that it costs its time only once."""
        key = (what, case.id)
        if key not in self._known:
            try:
                self._known[key] = make()
            except HilError as error:
                self._known[key] = error
            finally:
                self._say("")
        found = self._known[key]
        if isinstance(found, HilError):
            raise told(found, f"{case.id}: {found}")
        value: T = found
        return value

    def properties(self, case: Case) -> dict[str, str | int | float]:
        """JUnit properties of a case: who it is, and what is measured so far."""
        found: dict[str, str | int | float] = {
            "hil.board": case.board,
            "hil.model": case.model.name,
            "hil.cores": case.cores,
            "hil.nodes": case.nodes,
        }
        deployment, profile = self._known.get(("deployment", case.id)), self._known.get(("profile", case.id))
        if isinstance(deployment, Deployment):
            found |= _of_deployment(deployment) | self._bench(deployment)
        if isinstance(deployment, ClusterDeployment):
            fullest = deployment.nodes[deployment.planned.fullest]
            found |= _of_deployment(fullest) | self._bench(fullest)
            found |= {"hil.link": deployment.split.wire.name, "hil.objective": deployment.split.objective}
        if isinstance(profile, Profile | ClusterProfile):
            found |= {
                "hil.reference": profile.measured.reference,
                "hil.mismatches": profile.measured.outputs.mismatches,
                "hil.latency_us_median": profile.measured.latency.median,
                "hil.latency_cycles_median": profile.measured.latency.cycles_median,
            }
            found |= {"hil.flashed": profile.flashed} if profile.flashed else {}
        if stories := self._stories.get(case.id):
            found["hil.recovery"] = " | ".join(stories)
        if isinstance(profile, Profile):
            found |= _of_profile(profile)
        if isinstance(profile, ClusterProfile):
            found |= _of_cluster(profile)
        if (compared := self._compared.get(case.id)) is not None:
            found |= properties(compared)
        return found

    def _bench(self, deployment: Deployment) -> dict[str, str | int | float]:
        """Where its boards are; nothing where none can be reached, which its tests say."""
        name = deployment.board.name
        if name not in self._benches:
            with suppress(HilError):
                self._benches[name] = api.bench_for(deployment.board, self._where).source
        return {"hil.bench": self._benches[name]} if name in self._benches else {}


def where_of(config: pytest.Config) -> Where:
    """Where the options look for boards."""
    direct = config.getoption("hil_flash") == "direct"
    return Where(config.getoption("hil_bench"), config.getoption("hil_require_hardware"), direct)


def _of_deployment(deployment: Deployment) -> dict[str, str | int | float]:
    image = deployment.image
    in_ram = image.in_ram is not None
    return {
        "hil.model_sha256": deployment.graph.sha256,
        "hil.ram_predicted_bytes": deployment.ram_predicted,
        "hil.flash_bytes": 0 if in_ram else image.flash,
        **({"hil.ram_image_bytes": image.flash} if in_ram else {}),
        **{f"hil.{name}": value for name, value in variant_record(deployment).items()},
    }


def _of_profile(profile: Profile) -> dict[str, str | int | float]:
    operators = (
        f"{time.operator.removeprefix('operator ')} {time.cycles} {time.bound:.2f}"
        for time in profile.measured.operators
    )
    return {
        "hil.ram_peak_bytes": profile.measured.ram.peak,
        "hil.speedup_bound": round(profile.deployment.plan.bound, 3),
        "hil.operator_cycles": "; ".join(operators),
    }


def _of_cluster(profile: ClusterProfile) -> dict[str, str | int | float]:
    """RAM is the fullest node's; where the time went is told by node 0."""
    spent = profile.measured.nodes[0].time
    return {
        "hil.ram_peak_bytes": profile.fullest[1].ram.peak,
        "hil.latency_us_predicted": round(profile.deployment.split.timing.total_us, 1),
        "hil.compute_us": spent.compute,
        "hil.wait_us": spent.wait,
        "hil.wire_us": spent.wire,
        "hil.bytes_received_worst": max(node.plan.bytes_received for node in profile.deployment.nodes),
    }


@contextmanager
def _plainly() -> Iterator[None]:
    """An error of ours as a test failure with its message alone."""
    try:
        yield
    except HilError as error:
        raise told(error) from None
