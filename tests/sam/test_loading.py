"""SAM's checkpoints in their published formats: the right one is loaded, all others are refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from maskquery.core.errors import UserError
from maskquery.sam.loading import load
from tests.support.published import NO_WEIGHTS, Publish, publisher

CPU = torch.device("cpu")


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    return publisher("sam", tmp_path, monkeypatch)


def same(first: Sam, second: Sam) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_tiny(sam: Sam, publish: Publish, tmp_path: Path) -> None:
    save_file(sam.state_dict(), tmp_path / "sam.safetensors")
    publish("tiny", tmp_path / "sam.safetensors")
    loaded = load("tiny", CPU)
    assert same(loaded, sam)
    assert not loaded.training


@pytest.mark.slow
def test_published_format_at_full_size(publish: Publish, tmp_path: Path) -> None:
    published = sam_model_registry["vit_b"]()
    torch.save(published.state_dict(), tmp_path / "sam_vit_b.pth")
    publish("vit_b", tmp_path / "sam_vit_b.pth")
    assert same(load("vit_b", CPU), published)


def test_another_architecture(sam: Sam, publish: Publish, tmp_path: Path) -> None:
    torch.save(sam.state_dict(), tmp_path / "sam_vit_b.pth")
    publish("vit_b", tmp_path / "sam_vit_b.pth")
    with pytest.raises(UserError, match=r"sam_vit_b\.pth does not hold .* sam\.model vit_b") as e:
        load("vit_b", CPU)
    assert "\n" not in str(e.value)


class Code:
    """Unpickled, it touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def save_plain(thing: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(thing, protocol=2))


@pytest.mark.parametrize("save", [torch.save, save_plain])
def test_code_in_a_checkpoint_is_not_run(
    publish: Publish, tmp_path: Path, save: Callable[[Any, Path], None]
) -> None:
    path, touched = tmp_path / "sam_vit_b.pth", tmp_path / "touched"
    save({"weight": Code(touched)}, path)
    publish("vit_b", path)
    with pytest.raises(UserError, match=r"sam_vit_b\.pth"):
        load("vit_b", CPU)
    assert not touched.exists()


@pytest.mark.parametrize(("model", "suffix"), [("vit_b", "pth"), ("tiny", "safetensors")])
@NO_WEIGHTS
def test_anything_else(
    publish: Publish, tmp_path: Path, model: str, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"checkpoint.{suffix}"
    path.write_bytes(content)
    publish(model, path)
    with pytest.raises(UserError, match=rf"checkpoint\.{suffix}"):
        load(model, CPU)
