from pathlib import Path

import pytest

from maskquery.jobs import cache


def test_the_root_is_chosen_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MASKQUERY_CACHE", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/users/cache")
    assert cache.root() == Path("/users/cache/maskquery/cells")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.root() == Path.home() / ".cache/maskquery/cells"
    (tmp_path / "params.yaml").touch()
    assert cache.root() == tmp_path / ".cache"
    monkeypatch.setenv("DVC_ROOT", "/repository")
    assert cache.root() == Path("/repository/.cache")
    monkeypatch.setenv("MASKQUERY_CACHE", "/elsewhere")
    assert cache.root() == Path("/elsewhere")


@pytest.mark.parametrize("inside", [".", "sub", "deep/er"])
def test_the_root_is_in_the_project_wherever_dvc_runs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inside: str
) -> None:
    """DVC's root may be above the project, and `dvc exp run --temp` works in a copy of it."""
    root, copy = tmp_path / "root", tmp_path / "root/.dvc/tmp/exps/abc"
    monkeypatch.delenv("MASKQUERY_CACHE", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(root))
    for repository in (root, copy):
        (repository / ".dvc").mkdir(parents=True, exist_ok=True)
        (repository / inside).mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(repository / inside)
        assert cache.root() == root / inside / ".cache"


def test_a_key_tells_values_types_and_order_apart() -> None:
    keys = [
        cache.key("a", {"x": 1, "y": 2}),
        cache.key("a", {"x": 1, "y": 2.0}),
        cache.key({"x": 1, "y": 2}, "a"),
        cache.key("a", {"x": 1}),
    ]
    assert len(set(keys)) == len(keys)
    assert cache.key("a", {"y": 2, "x": 1}) == keys[0]


def test_a_key_has_no_room_for_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        cache.key(float("nan"))


def test_cells_of_different_keys_or_kinds_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKQUERY_CACHE", "/cache")
    name = cache.key("a")
    assert cache.cell("masks", name) == Path(f"/cache/masks/{name[:2]}/{name[2:]}")
    assert cache.cell("masks", name) != cache.cell("embeddings", name)


def test_neutral_settings_are_not_told() -> None:
    settings = {"clahe": 0, "mirrored": False, "crop_shape": "pad"}
    assert cache.without_neutral(settings, clahe=0, mirrored=False) == {"crop_shape": "pad"}
    changed = {**settings, "clahe": 2.0, "mirrored": True}
    assert cache.without_neutral(changed, clahe=0, mirrored=False) == changed
