"""Under DVC: every image once, whichever way DVC runs the stages, and its cache is left alone."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.project import STAGES
from tests.support.repository import Repository

IMAGES = 6
NOTHING, ONE, ALL = [0, 0], [1, 1], [IMAGES, IMAGES]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Run once, and committed; shared by all tests, which take copies."""
    repository = Repository.create(tmp_path_factory.mktemp("made") / "repository", IMAGES)
    assert repository.repro() == ALL
    repository.commit()
    return repository


@pytest.fixture
def repository(made: Repository, tmp_path: Path) -> Repository:
    shutil.copytree(made.folder, tmp_path / "repository", symlinks=True)
    return Repository(tmp_path / "repository")


def from_nothing(repository: Repository, folder: Path) -> dict[str, bytes]:
    """What a run without any cell makes of the same images and parameters."""
    clean = Repository(folder / "clean" / "project")
    shutil.copytree(repository.folder / "data/images", clean.folder / "data/images")
    shutil.copy(repository.folder / "params.yaml", clean.folder)
    clean.run_all()
    return clean.files()


def test_one_image_costs_one_image(repository: Repository, tmp_path: Path) -> None:
    assert repository.repro() == NOTHING
    repository.put("new", 100)
    assert repository.repro() == ONE
    repository.put("new", 101)
    assert repository.repro() == ONE
    (repository.folder / "data/images/new.png").rename(repository.folder / "data/images/x.png")
    assert repository.repro() == NOTHING
    (repository.folder / "data/images/room_3.png").unlink()
    assert repository.repro() == NOTHING
    assert repository.files() == from_nothing(repository, tmp_path)


def test_parameters_there_and_back(repository: Repository) -> None:
    before = repository.files()
    repository.set_param("sam.points_per_side", 2)
    assert repository.repro() == ALL
    repository.set_param("clip.views", ["crop", "masked"])
    assert repository.repro() == [0, IMAGES]
    repository.set_param("sam.points_per_side", 3)
    assert repository.repro() == [0, IMAGES]
    repository.set_param("clip.views", ["crop"])
    assert repository.repro() == NOTHING
    assert repository.files() == before


def test_without_dvcs_cache_the_cells_are_enough(repository: Repository) -> None:
    """As after `dvc gc` on another branch, or with a run cache that was lost."""
    before = repository.files()
    shutil.rmtree(repository.folder / ".dvc/cache")
    shutil.rmtree(repository.folder / "data/masks.zarr")
    (repository.folder / "data/embeddings.parquet").unlink()
    assert repository.repro() == NOTHING
    assert repository.files() == before


def test_experiments_share_the_cells(repository: Repository) -> None:
    repository.forget()
    repository.put("new", 100)
    repository.git("add", "--all")  # `--temp` takes what git knows
    repository.dvc("exp", "run", "--temp", "--set-param", "sam.points_per_side=2")
    assert repository.count("masks") == IMAGES + 1
    repository.dvc("exp", "run", "--set-param", "sam.points_per_side=2")
    assert repository.count("masks") == IMAGES + 1
    assert len(set(repository.computed())) == len(repository.computed())
    assert not (repository.folder / ".dvc/tmp/exps/.cache").exists()


def test_two_queued_workers_at_once_compute_each_image_once(repository: Repository) -> None:
    repository.forget()
    for shape in ("pad", "centre"):
        repository.dvc(
            "exp", "run", "--queue",
            "--set-param", "sam.points_per_side=2", "--set-param", f"clip.crop_shape={shape}",
        )  # fmt: skip
    # DVC's workers hold the output open, and now and then one never ends, though all is done.
    log = repository.folder.with_name("queue.log")
    start = f"exec {sys.executable} -m dvc queue start --jobs 2 > {log} 2>&1"
    done = repository.run("sh", "-c", start, STANDIN_SECONDS="0.05")
    assert done.code == 0, log.read_text()
    for _ in range(600):
        listed = repository.dvc("queue", "status")
        if "Queued" not in listed and "Running" not in listed:
            break
        time.sleep(0.2)
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "queue-worker" in (process.info["cmdline"] or ()) and process.info["cwd"] == str(
            repository.folder
        ):
            process.kill()
    assert listed.count("Success") == 2, listed
    assert [repository.count(stage) for stage in STAGES] == [IMAGES, 2 * IMAGES]


def test_an_older_experiment_and_gc_in_between(repository: Repository) -> None:
    before = repository.files()
    repository.set_param("sam.points_per_side", 2)
    assert repository.repro() == ALL
    repository.commit()
    repository.git("checkout", "--quiet", "HEAD~1")
    repository.dvc("checkout")
    assert repository.files() == before
    repository.dvc("gc", "--workspace", "--force")
    repository.git("checkout", "--quiet", "main")
    assert repository.try_dvc("checkout").code != 0  # its outputs are gone
    assert repository.repro() == NOTHING
    assert repository.dvc("status").strip() == "Data and pipelines are up to date."


@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink"])
def test_links_into_dvcs_cache(repository: Repository, kind: str, tmp_path: Path) -> None:
    """Not even a stage that is run by hand changes an object of the cache."""
    repository.dvc("config", "cache.type", kind)
    repository.dvc("checkout", "--relink")
    path = repository.folder / "data/embeddings.parquet"
    assert (path.is_symlink(), path.stat().st_nlink > 1) == (kind == "symlink", kind == "hardlink")
    repository.put("new", 100)
    assert repository.repro() == ONE
    repository.set_param("sam.points_per_side", 2)
    repository.set_param("clip.views", ["masked"])
    repository.run_all()  # by hand
    assert repository.altered_objects() == []
    assert repository.files() == from_nothing(repository, tmp_path)
    repository.dvc("repro")
    assert repository.altered_objects() == []
    assert repository.files() == from_nothing(repository, tmp_path / "again")


def test_images_that_dvc_links_to_its_cache(repository: Repository) -> None:
    repository.git("rm", "-r", "--quiet", "--cached", "data/images")
    repository.dvc("config", "cache.type", "symlink")
    repository.dvc("add", "data/images")
    assert (repository.folder / "data/images/room_3.png").is_symlink()
    assert repository.repro() == NOTHING


@contextlib.contextmanager
def orphan(repository: Repository, gate: Path, number: signal.Signals) -> Iterator[psutil.Process]:
    """A stage `masks` of a dvc that was killed; it goes on once `gate` is gone, and then ends."""
    gate.touch()
    with repository.start(dvc(repository), "repro", STANDIN_GATE=str(gate)) as started:
        while not repository.computed():
            time.sleep(0.01)
        children = psutil.Process(started.pid).children(recursive=True)
        stage = next(each for each in children if each.cmdline()[-1] == "masks")
        os.kill(started.pid, number)
        started.wait()
        yield stage
        gate.unlink(missing_ok=True)
        stage.wait(60)


def dvc(repository: Repository) -> str:
    path = shutil.which("dvc", path=repository.environment()["PATH"])
    assert path is not None
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_dvc_is_killed_and_its_stage_lives_on(
    repository: Repository, number: signal.Signals, tmp_path: Path
) -> None:
    """The next run waits for the orphan; meanwhile the parameters have changed."""
    repository.forget()
    repository.set_param("sam.points_per_side", 2)
    gate = tmp_path / "gate"
    with orphan(repository, gate, number):
        repository.set_param("sam.points_per_side", 1)
        with repository.start(dvc(repository), "repro") as following:
            assert following.stderr is not None
            while "waiting for another process" not in (line := following.stderr.readline()):
                assert line, "it ended without waiting"
            assert "makes data/masks.zarr" in line
            gate.unlink()
            following.communicate()
            assert following.returncode == 0
    assert repository.files() == from_nothing(repository, tmp_path)
    assert repository.dvc("status").strip() == "Data and pipelines are up to date."


def test_an_orphan_replaces_nothing_that_dvc_restored(
    repository: Repository, tmp_path: Path
) -> None:
    """Outputs come from the run cache, without a stage that could wait for the orphan."""
    before = repository.files()
    repository.forget()
    value = repository.params()["sam"]["points_per_side"]
    repository.set_param("sam.points_per_side", value + 1)
    with orphan(repository, tmp_path / "gate", signal.SIGKILL):
        repository.set_param("sam.points_per_side", value)
        assert repository.repro() == NOTHING
    assert repository.files() == before
    assert repository.dvc("status").strip() == "Data and pipelines are up to date."


def test_an_image_that_fails_is_reported_and_the_others_are_done(repository: Repository) -> None:
    (repository.folder / "data/images/broken.png").write_bytes(b"no image")
    repository.put("new", 100)
    repository.forget()
    done = repository.try_dvc("repro")
    assert done.code != 0
    assert "1 of 8 images failed (see metrics/failures.json)" in done.err
    assert repository.count("masks") == 1
    failures = json.loads((repository.folder / "metrics/failures.json").read_text())
    assert failures == {
        "failed": 1,
        "images": {
            "broken": "data/images/broken.png cannot be read as an image "
            "(it is text; read are BMP, JPEG, PNG, TIFF and WebP): replace or remove it"
        },
    }
    repository.set_param("on_error", "skip")
    assert repository.repro() == [0, 1]
    metrics = json.loads(repository.dvc("metrics", "show", "--json"))
    assert metrics[""]["data"]["metrics/failures.json"]["data"]["failed"] == 1
    (repository.folder / "data/images/broken.png").unlink()
    assert repository.repro() == NOTHING
    assert '"failed": 0' in (repository.folder / "metrics/failures.json").read_text()


def test_an_image_that_goes_while_the_stage_runs(repository: Repository, tmp_path: Path) -> None:
    repository.set_param("sam.points_per_side", 2)
    repository.forget()
    process = repository.start_stage("masks", STANDIN_SECONDS="0.1")
    while not repository.computed():
        time.sleep(0.01)
    (repository.folder / "data/images/room_2.png").unlink()
    _, err = process.communicate()
    assert process.returncode == 1
    assert (
        "room_2.png was added, removed or changed while the stage ran: run `dvc repro` again" in err
    )
    repository.dvc("repro")
    assert repository.files() == from_nothing(repository, tmp_path)
