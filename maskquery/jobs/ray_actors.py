"""Ray's options of the actors of a run: their resources, and their environment variables."""

import os
from pathlib import Path
from typing import Any

from maskquery.jobs import cache
from maskquery.models import device


def options(ray: Any) -> dict[str, Any]:
    """Ray's options of an actor."""
    needs, variables = resources(ray), environment()
    if "num_gpus" in needs:  # threads change no result on a GPU
        variables |= {"OMP_NUM_THREADS": str(_cpus_per_gpu(ray))}
    return {
        **needs,
        "max_restarts": 0,
        "max_task_retries": 0,
        "runtime_env": {"env_vars": variables},
    }


def environment() -> dict[str, str]:
    """Environment variables for workers: the same results as in this process, and the same cache.

    Ray sets a number of torch's threads of its own, which would change the last bits on a CPU.
    """
    variables = {key: value for key, value in os.environ.items() if key.startswith("MASKQUERY_")}
    variables |= {"MASKQUERY_CACHE": str(cache.root().absolute())}
    if variables.get(device.VARIABLE, "").startswith("cuda"):
        variables[device.VARIABLE] = "cuda"  # an actor sees only its own GPU, as the first
    code = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(part for part in code if part)
    return variables | {"OMP_NUM_THREADS": str(_threads()), "PYTHONPATH": path}


def _threads() -> int:
    """The number of torch's threads in this process, on a CPU."""
    return int(os.environ.get("OMP_NUM_THREADS") or device.thread_count())


def resources(ray: Any) -> dict[str, float]:
    """The resources of an actor: a GPU, or as many CPUs as torch has threads."""
    wish, nodes = os.environ.get(device.VARIABLE, ""), _nodes(ray)
    if wish.startswith("cuda") or (not wish and any(node.get("GPU", 0) for node in nodes)):
        return {"num_gpus": 1, "num_cpus": 1}
    most = max((node.get("CPU", 0) for node in nodes), default=1)
    return {"num_cpus": max(1, min(_threads(), int(most)))}


def _nodes(ray: Any) -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _cpus_per_gpu(ray: Any) -> int:
    """CPUs for each GPU, on the node that has the fewest."""
    shares = [node.get("CPU", 0) / node["GPU"] for node in _nodes(ray) if node.get("GPU", 0)]
    return max(1, int(min(shares, default=1)))


def capacity(ray: Any) -> int:
    """The number of actors that the cluster has resources for now, at least one."""
    names, each = {"num_gpus": "GPU", "num_cpus": "CPU"}, resources(ray)
    actors = (
        min(int(node.get(names[key], 0) // amount) for key, amount in each.items())
        for node in _nodes(ray)
    )
    return max(1, sum(actors))
