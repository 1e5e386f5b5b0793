"""What is decided before there is a cluster; tests/robustness/test_cluster.py has one."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from maskquery.core.errors import UserError
from maskquery.jobs import cache, cluster, ray_actors
from maskquery.jobs.cells import Cells
from maskquery.jobs.stats import RunStats
from tests.robustness.bulk import Bulk
from tests.support.builders import ROOT, loaded_modules
from tests.support.project import Project


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_ADDRESS", "MASKQUERY_DEVICE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))


@pytest.mark.parametrize(
    ("present", "variables", "expected"),
    [
        (0, {}, 0),
        (4, {}, 4),
        (4, {"CUDA_VISIBLE_DEVICES": "1,3"}, 2),
        (4, {"CUDA_VISIBLE_DEVICES": ""}, 0),
        (0, {"CUDA_VISIBLE_DEVICES": "0,1"}, 0),
        (4, {"MASKQUERY_DEVICE": "cuda"}, 4),
        (4, {"MASKQUERY_DEVICE": "cuda:2"}, 0),
        (4, {"MASKQUERY_DEVICE": "cpu"}, 0),
    ],
)
def test_gpus_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    present: int,
    variables: dict[str, str],
    expected: int,
) -> None:
    for number in range(present):
        (tmp_path / f"nvidia{number}").touch()
    for name in ("nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cluster.count_gpus(tmp_path) == expected


def test_wanted_with_an_address_or_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = 1
    monkeypatch.setattr(cluster, "count_gpus", lambda: gpus)
    assert not cluster.is_configured()
    gpus = 2
    assert cluster.is_configured()
    gpus = 0
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert cluster.is_configured()


def results() -> None:
    list(cluster.results(Bulk(1, Path("log")), ["room"], {}, RunStats(1)))


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "http://127.0.0.1:8265"])
def test_an_address_for_clients_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"RAY_ADDRESS={address} is for clients of a cluster: "):
        results()


def test_an_address_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        UserError, match=r"Ray is not installed: run `pip install 'maskquery.ray.'`"
    ):
        results()


def test_without_an_address_ray_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.create(tmp_path / "project", 2)
    monkeypatch.setenv("STANDIN_LOG", str(project.log))
    monkeypatch.delenv("MASKQUERY_CACHE")
    code = f"""
import os
from tests.support import standin
from stages import embeddings, masks
os.chdir({str(project.folder)!r})
standin.install()
sys.stderr.write(masks.main() + embeddings.main())
"""
    assert "ray" not in loaded_modules(code)
    assert len(project.computed()) == 4


def nodes(*resources: dict[str, float]) -> Any:
    return SimpleNamespace(
        nodes=lambda: [{"Alive": True, "Resources": resource} for resource in resources]
    )


@pytest.mark.parametrize(
    ("device", "resources", "each", "actors"),
    [
        ("", [{}, {"CPU": 4}, {"CPU": 9}], {"num_cpus": 4}, 3),
        ("", [{"CPU": 1}, {"CPU": 2}], {"num_cpus": 2}, 1),
        ("", [{"CPU": 8}, {"CPU": 8, "GPU": 4}], {"num_gpus": 1, "num_cpus": 1}, 4),
        ("", [{"CPU": 2, "GPU": 4}], {"num_gpus": 1, "num_cpus": 1}, 2),
        ("cpu", [{"CPU": 8, "GPU": 4}], {"num_cpus": 4}, 2),
        ("cuda", [{"CPU": 8}], {"num_gpus": 1, "num_cpus": 1}, 1),
        ("", [{}], {"num_cpus": 1}, 1),
    ],
)
def test_what_an_actor_takes_and_how_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    resources: list[dict[str, float]],
    each: dict[str, float],
    actors: int,
) -> None:
    monkeypatch.setenv("MASKQUERY_DEVICE", device)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    ray = nodes(*resources)
    assert ray_actors.resources(ray) == each
    assert ray_actors.capacity(ray) == actors


def test_workers_get_the_threads_and_the_code_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MASKQUERY_DEVICE", "cuda:1")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    variables = ray_actors.environment()
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["PYTHONPATH"] == str(ROOT)
    assert variables["MASKQUERY_DEVICE"] == "cuda"
    assert variables["MASKQUERY_CACHE"] == str(cache.root())


def test_the_last_batches_are_small_and_what_was_lost_is_sent_alone() -> None:
    queue = cluster._Queue([f"room_{number}" for number in range(1000)])
    batches = []
    while queue:
        batches.append(queue.take(actors=2))
    assert [image for batch in batches for image in batch] == [f"room_{n}" for n in range(1000)]
    sizes = [len(batch) for batch in batches]
    assert (sizes[0], sizes[-1]) == (cluster.BATCH, 1)
    assert sizes == sorted(sizes, reverse=True)
    assert [queue.lose(image) for image in ("room_1", "room_7")] == [0, 0]
    assert [queue.take(2), queue.take(2)] == [["room_1"], ["room_7"]]
    for tries in (1, 2, 3):
        assert queue.lose("room_7") == tries
        assert queue.take(2) == ["room_7"] if tries < cluster.TRIES else not queue


def test_who_waits_for_a_worker_is_told_after_1_2_and_4_minutes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0

    def wait(calls: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        nonlocal now
        now += timeout
        return [], calls

    monkeypatch.setattr(cluster.time, "monotonic", lambda: now)
    pool = cluster._Pool(
        SimpleNamespace(wait=wait), Bulk(1, Path("log")), {}, Cells("toys"), tmp_path / "probe"
    )
    pool._actors.append(cluster._Actor(handle=None, call="greeting"))
    for _ in range(3):
        assert pool._ready() == []
    assert now == 240
    assert [line.split(" s;")[0] for line in capsys.readouterr().err.splitlines()] == [
        f"toys: no worker has started for {seconds}" for seconds in (60, 120, 240)
    ]


# The fields that the example uses, and their types, as KubeRay declares them, of which its CRD is
# generated: ray-operator/apis/ray/v1/rayjob_types.go and raycluster_types.go.
RAY_JOB = {
    "entrypoint": str,
    "submissionMode": str,
    "backoffLimit": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "rayClusterSpec": dict,
}
RAY_CLUSTER = {
    "rayVersion": str,
    "authOptions": dict,
    "headGroupSpec": dict,
    "workerGroupSpecs": list,
}
HEAD = {"rayStartParams": dict, "template": dict}
WORKERS = {
    **HEAD,
    "groupName": str,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
}


def types(section: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in section.items()}


def test_the_kubernetes_example_has_the_structure_of_a_ray_job() -> None:
    job = yaml.safe_load((ROOT / "examples/kubernetes.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert types(job["spec"]) == RAY_JOB
    assert job["spec"]["submissionMode"] in ("K8sJobMode", "HTTPMode", "InteractiveMode")
    spec = job["spec"]["rayClusterSpec"]
    assert types(spec) == RAY_CLUSTER
    assert f"ray[default]=={spec['rayVersion']}" in (ROOT / "requirements-dev.txt").read_text()
    head, [workers] = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert types(head) == HEAD
    assert types(workers) == WORKERS
    assert 1 <= workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (head, workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}
        for amounts in container["resources"].values():
            assert all(isinstance(amount, str) for amount in amounts.values())
