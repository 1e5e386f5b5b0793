"""CLIP's checkpoints in their published formats: the right one is loaded, no other is."""

import warnings
from pathlib import Path

import pytest
import torch
from clip.model import convert_weights
from safetensors.torch import save_file

from maskquery.clip import encoder
from maskquery.clip.loading import load
from maskquery.clip.openai import CLIP, tokenize
from maskquery.core.errors import UserError
from tests.support.published import NO_WEIGHTS, Publish, publisher

CPU = torch.device("cpu")


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    return publisher("clip", tmp_path, monkeypatch)


def save_archive(module: torch.nn.Module, example: tuple[torch.Tensor, ...], path: Path) -> None:
    """A TorchScript archive, which is what OpenAI publishes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(module, example, check_trace=False).save(str(path))


def publish_numbers(clip: CLIP) -> CLIP:
    """With the three numbers that OpenAI's archives hold beside the weights."""
    for name, value in {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}.items():
        if hasattr(clip, name):
            delattr(clip, name)
        clip.register_buffer(name, torch.tensor(value))
    return clip


def test_tiny(clip: CLIP, publish: Publish, tmp_path: Path) -> None:
    save_file(clip.state_dict(), tmp_path / "clip.safetensors")
    publish("tiny", tmp_path / "clip.safetensors")
    loaded = load("tiny", CPU)
    expected = clip.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())
    assert not loaded.training


@pytest.mark.slow
def test_published_format_at_full_size(publish: Publish, tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).eval()
    convert_weights(published)  # OpenAI's are half precision for the most part
    expected = published.state_dict()
    example = (torch.zeros(1, 3, 224, 224).half(), tokenize("a chair"))
    save_archive(publish_numbers(published), example, tmp_path / "ViT-B-32.pt")
    publish("ViT-B/32", tmp_path / "ViT-B-32.pt")
    loaded = load("ViT-B/32", CPU).state_dict()
    assert loaded.keys() == expected.keys()
    for key, value in loaded.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[key].float()), key


def test_loaded_model_encodes(clip: CLIP, publish: Publish, tmp_path: Path) -> None:
    """A residual network in OpenAI's format, through to embeddings."""
    torch.manual_seed(0)
    small = CLIP(64, 64, (1, 1, 1, 1), 8, None, 77, 49408, 64, 1, 1).eval()
    example = (torch.zeros(1, 3, 64, 64), tokenize("a chair"))
    save_archive(publish_numbers(small), example, tmp_path / "RN50.pt")
    publish("RN50", tmp_path / "RN50.pt")
    loaded = load("RN50", CPU)
    assert encoder.resolution(loaded) == 64
    assert encoder.encode_texts(loaded, ["a chair"]).shape == (1, 64)


def test_another_network(publish: Publish, tmp_path: Path) -> None:
    path = tmp_path / "ViT-B-32.pt"
    save_archive(torch.nn.Linear(2, 2), (torch.zeros(1, 2),), path)
    publish("ViT-B/32", path)
    with pytest.raises(UserError, match=r"ViT-B-32\.pt does not hold .* clip\.model ViT-B/32") as e:
        load("ViT-B/32", CPU)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(("model", "suffix"), [("ViT-B/32", "pt"), ("tiny", "safetensors")])
@NO_WEIGHTS
def test_anything_else(
    publish: Publish, tmp_path: Path, model: str, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"checkpoint.{suffix}"
    path.write_bytes(content)
    publish(model, path)
    with pytest.raises(UserError, match=rf"checkpoint\.{suffix}"):
        load(model, CPU)


def test_plain_weights_are_not_unpickled(clip: CLIP, publish: Publish, tmp_path: Path) -> None:
    """`clip.load` would take such a file."""
    torch.save(clip.state_dict(), tmp_path / "ViT-B-32.pt")
    publish("ViT-B/32", tmp_path / "ViT-B-32.pt")
    with pytest.raises(UserError, match=r"ViT-B-32\.pt"):
        load("ViT-B/32", CPU)


def test_other_bytes_are_not_even_opened(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ViT-B-32.pt"
    save_archive(torch.nn.Linear(2, 2), (torch.zeros(1, 2),), path)
    publish("ViT-B/32", path)
    path.write_bytes(path.read_bytes() + b"!")
    monkeypatch.setattr(torch.jit, "load", lambda *args, **kwargs: pytest.fail("opened"))
    with pytest.raises(UserError, match=r"ViT-B-32\.pt is not the file"):
        load("ViT-B/32", CPU)
