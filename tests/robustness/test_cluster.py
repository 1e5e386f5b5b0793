"""The stages on a Ray cluster of several nodes, of which parts die: the outputs stay the same."""

import contextlib
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from maskquery.core.errors import FatalError
from maskquery.images import image_files
from maskquery.jobs import cells, cluster
from maskquery.jobs.stats import RunStats
from maskquery.masks import mask_store
from stages import embeddings, masks
from tests.robustness import bulk, writing
from tests.support.builders import ROOT
from tests.support.project import OUTPUTS, STAGES, Project, kill
from tests.support.standin import digest

IMAGES = 24
STORE = 80 * 2**20  # bytes of each node's object store, about the least that Ray takes
HOOK = "tests.robustness.writing.install"


class Nodes:
    """A head without CPUs, on which the driver is, and two workers with one each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.workers: list[Any] = []
        self.complete()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def complete(self) -> None:
        while len(self.workers) < 2:
            self.workers.append(self.cluster.add_node(num_cpus=1, object_store_memory=STORE))

    def leave_one(self) -> None:
        self.cluster.remove_node(self.workers.pop())

    def kill_one(self) -> None:
        """With all that runs on it, without a warning."""
        node = self.workers.pop()
        [raylet] = node.all_processes["raylet"]
        workers = psutil.Process(raylet.process.pid).children(recursive=True)
        raylet.process.kill()  # first: it would report the deaths of the others
        for process in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="module")
def running() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # On a busy machine Ray's workers would not get their turn, and its nodes not start in time.
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "120")
        patch.setenv("RAY_health_check_period_ms", "1000")  # a dead node is missed after 5 of them
        nodes = Nodes()
        yield nodes
        nodes.cluster.shutdown()


@pytest.fixture
def nodes(running: Nodes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    running.complete()
    monkeypatch.setenv("RAY_ADDRESS", running.address)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield running
    import ray

    ray.shutdown()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The outputs of one process."""
    project = Project.create(tmp_path_factory.mktemp("clean") / "project", IMAGES)
    for stage in STAGES:
        assert project.run_stage(stage, RAY_ADDRESS="").code == 0
    return project.files()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project.create(tmp_path / "project", IMAGES)
    monkeypatch.chdir(made.folder)
    monkeypatch.setenv("MASKQUERY_CACHE", str(made.folder / ".cache"))
    return made


@pytest.fixture
def written(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[str]]:
    """How often each cell was written, by whomever."""
    log = project.folder.with_name("written.log")
    monkeypatch.setattr(cells.Cells, "write", writing.WRITE)  # to be put back in the end
    writing.note(log)
    return lambda: Counter(log.read_text().split())


def hide_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the workers, as where each node has a disk of its own."""
    monkeypatch.setattr(cluster, "_write_probe", lambda path: "of another cache")


def runtime(project: Project, **environment: str) -> dict[str, Any]:
    """Puts the stand-ins into the workers."""
    own = {"STANDIN_LOG": str(project.log), "STANDIN_SECONDS": "0.05", "PYTHONPATH": str(ROOT)}
    own["STANDIN_WRITTEN"] = str(project.folder.with_name("written.log"))
    return {"worker_process_setup_hook": HOOK, "env_vars": own | environment}


def connect(nodes: Nodes, project: Project, **environment: str) -> None:
    import ray

    ray.init(
        nodes.address,
        log_to_driver=False,
        logging_level="CRITICAL",
        runtime_env=runtime(project, **environment),
    )


def run(stage: str) -> str:
    """As `python -m stages.STAGE`, in this process."""
    module: Any = {"masks": masks, "embeddings": embeddings}[stage]
    line: str = module.main()
    return line


def meanwhile(project: Project, lines: int, action: Callable[[], None]) -> threading.Thread:
    """Do something once so many lines are in the log."""

    def wait() -> None:
        while len(project.computed()) < lines:
            time.sleep(0.01)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@contextlib.contextmanager
def driver_at_work(
    nodes: Nodes, project: Project, seconds: str = "0.2", lines: int = 6
) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    """The stage `masks` as a process amidst its work, and the environment that takes it there."""
    config = json.dumps({"runtime_env": runtime(project, STANDIN_SECONDS=seconds)})
    environment = {"RAY_ADDRESS": nodes.address, "RAY_JOB_CONFIG_JSON_ENV_VAR": config}
    with project.start_stage("masks", **environment) as process:
        while len(project.computed()) < lines and process.poll() is None:
            time.sleep(0.01)
        yield process, environment


def actors() -> list[psutil.Process]:
    """Those of this process's own cluster."""
    running = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # others come and go
            if process.name().startswith("ray::Worker"):
                running.append(process)
    return running


def kill_an_actor() -> None:
    """Kill one that computes; Ray names a process after what it does."""
    busy: list[psutil.Process] = []
    while not busy:
        busy = [each for each in actors() if each.cmdline()[:1] == ["ray::Worker.compute"]]
    busy[0].kill()


@pytest.mark.parametrize(
    ("batch", "stages", "shared"),
    [(1, STAGES, True), (1, STAGES, False), (100, STAGES[:1], True), (100, STAGES[:1], False)],
)
def test_the_bytes_of_one_process_whatever_the_batches(
    nodes: Nodes,
    project: Project,
    clean: dict[str, bytes],
    written: Callable[[], Counter[str]],
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    stages: tuple[str, ...],
    shared: bool,
) -> None:
    if not shared:
        hide_cache(monkeypatch)
    monkeypatch.setattr(cluster, "BATCH", batch)
    monkeypatch.setattr(cluster, "BATCHES_PER_ACTOR", 1)
    connect(nodes, project, STANDIN_SECONDS="0.01")
    for stage in stages:
        assert run(stage).endswith(f"; {IMAGES} images computed, 0 from the cache")
    made = project.files(OUTPUTS[: len(stages)])
    assert made == {name: clean[name] for name in made}
    assert len(project.computed()) == len(set(project.computed())) == len(stages) * IMAGES
    assert set(written().values()) == {1}


@pytest.mark.parametrize(
    ("victim", "shared"), [("actor", True), ("actor", False), ("node", True), ("node", False)]
)
def test_a_worker_that_dies_costs_what_it_was_at(
    nodes: Nodes,
    project: Project,
    clean: dict[str, bytes],
    written: Callable[[], Counter[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    victim: str,
    shared: bool,
) -> None:
    if not shared:
        hide_cache(monkeypatch)
    connect(nodes, project, STANDIN_SECONDS="0.5")
    act = {"actor": kill_an_actor, "node": nodes.kill_one}[victim]
    thread = meanwhile(project, 5, act)
    assert run("masks").endswith(f"; {IMAGES} images computed, 0 from the cache")
    thread.join()
    told = capsys.readouterr().err
    # The node is unknown where the process died before it could say that it had begun.
    node = r"(\S+/[0-9a-f]{8}|unknown)"
    assert re.search(rf"masks: node {node}, image 'room_\d+': lost with its process\n", told)
    made = project.files(OUTPUTS[:1])
    assert made == {name: clean[name] for name in made}
    assert set(written().values()) == {1}
    assert len(written()) == IMAGES
    assert IMAGES <= len(project.computed()) <= IMAGES + 4


def test_the_last_worker_that_dies_costs_what_it_was_at(
    nodes: Nodes, project: Project, clean: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.leave_one()
    connect(nodes, project, STANDIN_SECONDS="0.5")
    thread = meanwhile(project, 5, kill_an_actor)
    assert run("masks").endswith(f"; {IMAGES} images computed, 0 from the cache")
    thread.join()
    assert ": lost with its process\n" in capsys.readouterr().err
    made = project.files(OUTPUTS[:1])
    assert made == {name: clean[name] for name in made}
    assert IMAGES <= len(project.computed()) <= IMAGES + 4


def test_a_node_that_joins_gets_work(
    nodes: Nodes, project: Project, clean: dict[str, bytes]
) -> None:
    nodes.leave_one()
    count = 0
    with driver_at_work(nodes, project, "0.7", lines=1) as (process, _):
        nodes.complete()
        while count < 2 and process.poll() is None:
            count = len(actors())
            time.sleep(0.1)
        out, _ = process.communicate()
    assert count == 2
    assert out.endswith(f"; {IMAGES} images computed, 0 from the cache\n")
    assert len(project.computed()) == IMAGES
    files = project.files(OUTPUTS[:1])
    assert files == {name: clean[name] for name in files}


def test_a_cluster_whose_processes_all_die_ends_the_run(
    nodes: Nodes, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(nodes, project, STANDIN_SECONDS="0", STANDIN_DIES_AT="1")
    with pytest.raises(FatalError, match=r"^the Ray cluster does no work \(.*\): see its logs, "):
        run("masks")
    assert len(project.computed()) == 2 * cluster.SETBACKS
    assert capsys.readouterr().err.count("masks: the cluster stopped (") == cluster.SETBACKS


def test_a_driver_that_dies_goes_on_where_it_stopped(
    nodes: Nodes, project: Project, clean: dict[str, bytes]
) -> None:
    """And on the command line all looks as it does in one process."""
    with driver_at_work(nodes, project) as (process, environment):
        kept = len(list((project.folder / ".cache/masks").glob("??/*")))
        assert kill(process).code == -signal.SIGKILL
    assert kept >= 3
    assert not (project.folder / "data/masks.zarr").exists()
    (project.folder / "data/images/broken.png").write_bytes(b"")
    done = project.run_stage("masks", **environment)
    assert done.code == 1
    assert done.out == ""
    [error] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: 1 of {IMAGES + 1} images failed (see metrics/failures.json); ")
    assert error.endswith(
        "'broken': data/images/broken.png cannot be read as an image (it is empty"
        "): replace or remove it"
    )
    assert f"/{IMAGES + 1} [" in done.err, "the bar of one process"
    assert len(project.computed()) <= IMAGES + 6
    assert project.litter() == []
    (project.folder / "data/images/broken.png").unlink()
    last = project.run_stage("masks", RAY_ADDRESS="")
    assert last.out.endswith(f"; 0 images computed, {IMAGES} from the cache\n")
    made = project.files(OUTPUTS[:1])
    assert made == {name: clean[name] for name in made}


def test_an_image_that_kills_its_process_is_reported_and_skipped(
    nodes: Nodes, project: Project, clean: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    poison = image_files.read(project.folder / "data/images/room_7.png")
    project.set_params(project.params() | {"on_error": "skip"})
    connect(nodes, project, STANDIN_POISON=digest(poison), STANDIN_SECONDS="0.01")
    others = IMAGES - 1
    assert run("masks").endswith(f"; {others} images computed, 0 from the cache, 1 failed")
    failures = json.loads((project.folder / "metrics/failures.json").read_text())
    assert failures == {"failed": 1, "images": {"room_7": "its process died 3 times"}}
    told = capsys.readouterr().err
    assert re.search(r"image 'room_7': lost with its process, alone, 3 of 3 times", told)
    assert len(set(project.computed())) == others
    made = project.files(OUTPUTS[:1])
    shard = f"data/masks.zarr/{mask_store.shard_of('room_7')}.zip"
    changed = {shard, "data/masks.zarr/zarr.json"}  # which lists the shards
    assert {n: d for n, d in made.items() if n not in changed} == {
        n: d for n, d in clean.items() if n in made and n not in changed
    }


def test_a_slow_writer_and_a_full_object_store(
    nodes: Nodes, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers wait for the writer; nobody's memory grows with the number of images."""
    import numpy as np
    import ray

    hide_cache(monkeypatch)
    connect(nodes, project)
    ballast = ray.put(np.zeros(STORE * 3 // 4, np.uint8))  # fills the driver's store
    size, names = 4 * 2**20, [f"room_{number}" for number in range(100)]
    write, ahead = cells.Cells.write, []

    def slow(self: cells.Cells, name: str, payload: bytes) -> None:
        time.sleep(0.05)
        ahead.append(len(project.computed()) - len(ahead))
        write(self, name, payload)

    monkeypatch.setattr(cells.Cells, "write", slow)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stats = RunStats(len(names))
    for result in cluster.results(bulk.Bulk(size, project.log), names, {}, stats):
        assert result.parts["bulk"] == bulk.payload(result.image, size)
    assert stats.summary() == "100 images computed, 0 from the cache"
    assert len(project.computed()) == 100
    assert max(ahead) * size < 3 * STORE
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 200, f"{grown:.0f} MiB"
    del ballast


def test_ctrl_c_says_what_is_done_and_keeps_it(
    nodes: Nodes, project: Project, clean: dict[str, bytes]
) -> None:
    with driver_at_work(nodes, project) as (process, _):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    told = re.search(r"^interrupted: (\d+) of 24 images are done and kept; ", err, re.MULTILINE)
    assert told is not None, err
    assert "Traceback" not in err
    last = project.run_stage("masks", RAY_ADDRESS="")
    kept = int(last.out.split("computed, ")[1].split(" from the cache")[0])
    assert 3 <= int(told[1]) <= kept < IMAGES
    made = project.files(OUTPUTS[:1])
    assert made == {name: clean[name] for name in made}


@pytest.mark.parametrize("shared", [True, False])
def test_a_damaged_cell_is_computed_again(
    nodes: Nodes,
    project: Project,
    clean: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    shared: bool,
) -> None:
    if not shared:
        hide_cache(monkeypatch)
    assert project.run_stage("masks", RAY_ADDRESS="").code == 0
    path = sorted((project.folder / ".cache/masks").glob("??/*"))[3]
    path.write_bytes(b"nonsense")
    connect(nodes, project)
    assert run("masks").endswith(f"; 1 images computed, {IMAGES - 1} from the cache")
    made = project.files(OUTPUTS[:1])
    assert made == {name: clean[name] for name in made}


def test_real_models_compute_the_same_bytes(nodes: Nodes, tmp_path: Path) -> None:
    """With as many threads as one process has: Ray would set the number of an actor's CPUs."""
    projects = [Project.create(tmp_path / name, 1) for name in ("one process", "cluster")]
    for project, address in zip(projects, ("", nodes.address), strict=True):
        (project.folder / "data/images/room_0.png").unlink()
        for room in ("room-000", "room-001"):
            shutil.copy(ROOT / f"data/rooms/images/{room}.jpg", project.folder / "data/images")
        settings = project.params()
        settings["max_pixels"] = 10**6
        settings["sam"] |= {"points_per_side": 8, "pred_iou_thresh": 0.2}
        settings["sam"] |= {"stability_score_thresh": 0.3}
        project.set_params(settings)
        own = {"OMP_NUM_THREADS": "2", "RAY_ADDRESS": address, "MASKQUERY_DEVICE": "cpu"}
        for stage in STAGES:
            with project.start(sys.executable, "-m", f"stages.{stage}", **own) as process:
                out, err = process.communicate()
            assert "2 images computed" in out, err
    assert projects[0].files() == projects[1].files()
