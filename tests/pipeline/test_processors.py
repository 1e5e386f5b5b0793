"""What is computed from stored embeddings has the same bytes whatever the processor."""

import pytest

from tests.support.workspace import Workspace

SCORING_HALF = ("scores", "calibration", "predictions", "curves", "metrics")

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
}
"""Hold torch, oneDNN, OpenBLAS and numpy to what every x86 processor since 2013 has."""


def outputs(workspace: Workspace) -> dict[str, bytes]:
    names = ["data/scores.parquet", "metrics/thresholds.json", "metrics/metrics.json"]
    paths = [workspace.path(name) for name in names]
    for pattern in ("data/predictions.zarr/*", "metrics/*.csv", "metrics/details.json"):
        paths += sorted(workspace.folder.glob(pattern))
    return {path.relative_to(workspace.folder).as_posix(): path.read_bytes() for path in paths}


def test_the_scoring_half_gives_the_same_bytes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outputs(workspace)
    monkeypatch.setenv("MASKQUERY_CACHE", str(workspace.path(".cache/other")))  # texts anew
    for name, value in AVX2.items():
        monkeypatch.setenv(name, value)
    for stage in SCORING_HALF:
        done = workspace.run("python", "-m", f"stages.{stage}")
        assert done.code == 0, done.output
    after = outputs(workspace)
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] != before[name]] == []
