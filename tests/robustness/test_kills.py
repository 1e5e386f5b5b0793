"""Stages that end before their time: killed, interrupted, without room on the disk."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import OUTPUTS, STAGES, Done, Project, kill

IMAGES = 12
KILLS = 15  # at most, of each stage


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The outputs of a run that nothing disturbed."""
    project = Project.create(tmp_path_factory.mktemp("clean") / "project", IMAGES)
    project.run_all()
    assert len(project.computed()) == 2 * IMAGES
    return project.files()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", IMAGES)


def wait_for(project: Project, lines: int, process: "subprocess.Popen[str]") -> None:
    """Until so many lines are in the log, or the process has ended."""
    while len(project.computed()) < lines and process.poll() is None:
        time.sleep(0.005)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_it_goes_on_where_it_stopped(
    project: Project, clean: dict[str, bytes], seed: int
) -> None:
    """Every kill costs at most the image in flight; outputs are whole or not there."""
    rng = random.Random(seed)
    kills = dict.fromkeys(STAGES, 0)
    for stage, output in zip(STAGES, OUTPUTS, strict=False):
        while kills[stage] < KILLS:
            done = len(project.computed())
            process = project.start_stage(stage, STANDIN_SECONDS="0.02")
            # Somewhere between the first image of this run and the end; at times before either.
            wait_for(project, done + rng.randint(0, 1), process)
            time.sleep(rng.random() * 0.05)
            if kill(process).code == -signal.SIGKILL:
                kills[stage] += 1
            if (project.folder / output).exists():
                assert {k: v for k, v in project.files([output]).items() if clean[k] != v} == {}
                break
        assert project.run_stage(stage).code == 0
    assert project.files() == clean
    assert project.litter() == [] or all(".cache" in str(path) for path in project.litter())
    assert sum(kills.values()) >= 12
    assert len(project.computed()) <= 2 * IMAGES + sum(kills.values())


@pytest.mark.parametrize("moment", ["write a cell", "move a cell", "write the output", "move it"])
def test_killed_while_writing(project: Project, clean: dict[str, bytes], moment: str) -> None:
    """The same at the moments that matter most, by a debugger's means: a process kills itself."""
    place = {
        "write a cell": "maskquery.jobs.cells._digest",
        "move a cell": "pathlib.Path.replace",
        "write the output": "maskquery.masks.zarr_zip.zip_groups",
        "move it": "maskquery.core.files._move_over",
    }[moment]
    code = f"""
import os, signal, sys
from unittest import mock
from tests.support import standin
from maskquery.core import console, files
from maskquery.jobs import cells
from maskquery.masks import zarr_zip
import pathlib
standin.install()
calls = 0
from pydoc import locate
module, _, name = {place!r}.rpartition(".")
original = getattr(locate(module), name)
def dying(*arguments, **options):
    global calls
    calls += 1
    if calls == 3 or {moment!r} == "move it":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
setattr(locate(module), name, dying)
from stages import masks
console.run_stage(masks.main)
"""
    with project.start(sys.executable, "-c", code) as process:
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    computed = len(project.computed())
    project.run_all()
    assert project.files() == clean
    assert len(project.computed()) - computed <= 2 * IMAGES - computed + 1


def test_ctrl_c_says_what_is_done_and_keeps_it(project: Project, clean: dict[str, bytes]) -> None:
    process = project.start_stage("masks", STANDIN_SECONDS="0.1")
    wait_for(project, 3, process)
    done = kill(process, signal.SIGINT)
    assert done.code == 130
    [line] = done.err.splitlines()
    assert line.startswith("interrupted: ")
    assert line.endswith(f" of {IMAGES} images are done and kept; `dvc repro` goes on there")
    assert not (project.folder / "data/masks.zarr").exists()
    assert project.litter() == []
    project.run_all()
    assert project.files() == clean
    assert len(project.computed()) <= 2 * IMAGES + 1


def test_two_runs_of_one_stage_at_once(
    project: Project, clean: dict[str, bytes], tmp_path: Path
) -> None:
    """As an orphan whose dvc was killed, and the stage of the next `dvc repro`."""
    gate = tmp_path / "gate"
    gate.touch()
    with project.start_stage("masks", STANDIN_GATE=str(gate)) as first:
        wait_for(project, 1, first)
        with project.start_stage("masks") as second:
            assert second.stderr is not None
            told = second.stderr.readline()
            assert "waiting for another process that makes data/masks.zarr" in told
            gate.unlink()
            second.communicate()
            assert first.poll() == 0, "the second waited for the end of the first"
            assert second.returncode == 0
    assert len(project.computed()) == IMAGES
    assert project.run_stage("embeddings").code == 0
    assert project.files() == clean


def test_two_workspaces_at_once_share_the_cells(
    project: Project, clean: dict[str, bytes], tmp_path: Path
) -> None:
    other = Project.create(tmp_path / "other", IMAGES)
    shared = {"MASKQUERY_CACHE": str(tmp_path / "cells"), "STANDIN_LOG": str(tmp_path / "log")}
    for stage in STAGES:
        running = [
            own.start_stage(stage, STANDIN_SECONDS="0.02", **shared) for own in (project, other)
        ]
        for process in running:
            process.communicate()
            assert process.returncode == 0
    assert project.files() == other.files() == clean
    computed = (tmp_path / "log").read_text().splitlines()
    assert len(computed) == len(set(computed)) == 2 * IMAGES


class Memory:
    """A control group with little memory, where this process may make one: the kernel kills.

    Of either version of control groups. Elsewhere the process kills itself, by the same signal.
    """

    ROOTS = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))

    def __init__(self, limit: int) -> None:
        self.folder: Path | None = None
        for root, name in self.ROOTS:
            folder = Path(root) / f"retrieval-test-{os.getpid()}"
            try:
                folder.mkdir()
            except OSError:
                continue
            if (folder / name).exists():  # the kernel's own file
                (folder / name).write_text(str(limit))
                self.folder = folder
                return
            folder.rmdir()

    def close(self) -> None:
        if self.folder is not None:
            self.folder.rmdir()


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory(500 * 2**20)
    yield made
    made.close()


def test_memory_runs_out_for_good(
    project: Project, clean: dict[str, bytes], memory: Memory
) -> None:
    """The system kills the process in the midst of an image, as `kill -9` does."""
    if memory.folder is not None:
        group = memory.folder / "cgroup.procs"
        eats = {"STANDIN_EATS_AT": "5", "STANDIN_EATS": str(2**30)}
        command = f"echo $$ > {group} && exec {sys.executable} -m tests.support.standin masks"
        process = project.start("sh", "-c", command, **eats)
    else:
        process = project.start_stage("masks", STANDIN_DIES_AT="5")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(project.computed()) == 5
    project.run_all()
    assert project.files() == clean
    assert len(project.computed()) == 2 * IMAGES + 1


def test_memory_runs_out_for_one_image(project: Project, clean: dict[str, bytes]) -> None:
    """The allocation fails: that image is reported, the others are done."""
    limits = {"STANDIN_ADDRESS_SPACE": str(2**34), "STANDIN_EATS": str(2**35)}
    done = project.run_stage("masks", STANDIN_EATS_AT="5", **limits)
    expect_one_line(done, f"1 of {IMAGES} images failed", "MemoryError")
    assert len(project.computed()) == IMAGES
    project.run_all()
    assert project.files() == clean
    assert len(project.computed()) == 2 * IMAGES + 1


class Disk:
    """A folder with little room: a small file system of its own, where this process may mount."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
        self.mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0

    def fill(self, room: int) -> None:
        """Leave `room` bytes."""
        (self.folder / "ballast").write_bytes(bytes(64 * 1024 - room))

    def free(self) -> None:
        (self.folder / "ballast").unlink()
        command = ["mount", "-o", "remount,size=4m", str(self.folder)]
        subprocess.run(command, check=True)

    def close(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=self.mounted)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    if made.mounted:
        made.close()


def expect_one_line(done: Done, *words: str) -> None:
    assert done.code == 1
    [line] = done.err.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_no_room_for_the_cells(project: Project, clean: dict[str, bytes], disk: Disk) -> None:
    cells = disk.folder / "cells"
    if disk.mounted:
        disk.fill(24 * 1024)
        done = project.run_stage("masks", MASKQUERY_CACHE=str(cells))
        words = ("No space left on device",)
    else:
        done = project.run_stage("masks", MASKQUERY_CACHE=str(cells), STANDIN_FILE_SIZE="1000")
        words = ("File too large",)
    expect_one_line(done, *words, "free some space", "what is done is kept")
    assert not (project.folder / "data/masks.zarr").exists()
    assert not list(disk.folder.rglob("*.tmp"))
    if disk.mounted:
        kept = len([path for path in (cells / "masks").rglob("*") if path.is_file()])
        assert 0 < kept < IMAGES
        disk.free()
        computed = len(project.computed())
        assert project.run_stage("masks", MASKQUERY_CACHE=str(cells)).code == 0
        assert len(project.computed()) == computed + IMAGES - kept
    project.run_all()
    assert project.files() == clean


def test_no_room_for_the_outputs(project: Project, clean: dict[str, bytes], disk: Disk) -> None:
    """The cells are kept, and nothing is computed again."""
    if disk.mounted:
        disk.fill(8 * 1024)
        (project.folder / "data/images").rename(project.folder / "images")
        (project.folder / "data").rmdir()
        (disk.folder / "data").mkdir()
        (project.folder / "data").symlink_to(disk.folder / "data")
        (project.folder / "images").rename(project.folder / "pictures")
        project.set_params(project.params() | {"images": "pictures"})
        done = project.run_stage("masks")
        expect_one_line(done, "No space left on device")
    else:
        done = project.run_stage("masks", STANDIN_FILE_SIZE="2000")
        expect_one_line(done, "File too large")
    assert not (project.folder / "data/masks.zarr").exists()
    assert project.litter() == []
    assert not list(disk.folder.rglob("*.tmp"))
    computed = project.computed()
    if disk.mounted:
        disk.free()
    project.run_all()
    assert project.computed()[: len(computed)] == computed
    assert len(project.computed()) == 2 * IMAGES
    assert project.files() == clean
