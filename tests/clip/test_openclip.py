"""OpenCLIP's models equal open_clip's own preprocessing and encoders, from published formats."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskquery.clip import encoder, loading, texts
from maskquery.clip.settings import ClipParams
from maskquery.core.errors import UserError
from maskquery.core.params import ParamsError, parse
from maskquery.masks.packed import pack
from maskquery.models import checkpoints, openclip

open_clip = pytest.importorskip("open_clip", reason="the extra openclip is not installed")

CPU = torch.device("cpu")
VIT, SIGLIP = "openclip:ViT-B-32-256/datacomp_s34b_b86k", "openclip:ViT-B-16-SigLIP/webli"
MOBILE = "openclip:MobileCLIP-S1/datacompdr"
WORDS = ["a", "chair", "red", "lamp", "on", "the", "wall"]


def build(model: str) -> torch.nn.Module:
    """The published architecture with random weights, all of which matter."""
    name = openclip.parse(model)
    torch.manual_seed(0)
    built = open_clip.create_model(name.architecture, pretrained_text=False)
    for weight in built.parameters():
        if weight.ndim == 1 and weight.numel() > 1:  # layer scales, biases
            torch.nn.init.normal_(weight, 1 if (weight == 1).all() else 0, 0.1)
    return built.eval()


@pytest.fixture(scope="module", params=[VIT, SIGLIP])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def weights(model: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """The model, and its file in a folder for downloads: safetensors, or a pickle of tensors."""
    built, name = build(model), openclip.parse(model)
    folder = tmp_path_factory.mktemp("models")
    stem = folder / f"openclip-{name.architecture}-{name.tag}"
    if model == VIT:
        from safetensors.torch import save_file

        save_file(built.state_dict(), f"{stem}.safetensors")
    else:
        torch.save(built.state_dict(), f"{stem}.bin")
    return built, folder


@pytest.fixture
def home(weights: tuple[torch.nn.Module, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKQUERY_MODELS", str(weights[1]))
    monkeypatch.setenv("MASKQUERY_CACHE", str(weights[1] / "cache"))
    return weights[1]


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tokenizer in the published format in the place of SigLIP's, which is not here."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    fast.save_pretrained(tmp_path / "tokenizer")
    from transformers import AutoTokenizer

    real = AutoTokenizer.from_pretrained
    monkeypatch.setattr(
        AutoTokenizer, "from_pretrained", lambda name, **kwargs: real(tmp_path / "tokenizer")
    )


def photograph(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth) // 2 + rng.integers(0, 128, (height, width, 3), np.uint8)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.asarray(np.sum(first * second, axis=-1))


@pytest.mark.slow
def test_images_as_open_clip_sees_them(
    model: str, weights: tuple[torch.nn.Module, Path], home: Path
) -> None:
    """Its own preprocessing of each box, its own encoder."""
    name, image = openclip.parse(model), photograph(240, 320)
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(
            size=built_size(name), **_own(open_clip.get_pretrained_cfg(name.architecture, name.tag))
        ),
        is_train=False,
    )
    boxes = np.array([[0, 0, 320, 240], [10, 20, 150, 60], [200, 5, 230, 220]], np.int32)
    crops = [Image.fromarray(image[y0:y1, x0:x1]) for x0, y0, x1, y1 in boxes]
    with torch.no_grad():
        pixels = torch.stack([transform(crop) for crop in crops])
        expected = weights[0].encode_image(pixels, normalize=True).numpy()
    assert cosines(expected[:1], expected[1:]).max() < 0.999  # else the last line would say nothing
    loaded = encoder.prepare(loading.load(model, CPU))
    settings = parse(
        ClipParams,
        {
            "model": model, "tier": "exact", "views": ["plain"], "crop_padding": 0.0,
            "crop_shape": "model", "mirrored": False, "clahe": 0.0,
        },
    )  # fmt: skip
    masks = pack(np.ones((3, 240, 320), np.bool_))
    ours = encoder.encode_masks(loaded, image, boxes, masks, settings)
    assert ours.shape == (3, 1, encoder.dimensions(loaded))
    assert cosines(ours[:, 0], expected).min() >= 0.9999


def built_size(name: openclip.Name) -> int:
    return int(open_clip.get_model_config(name.architecture)["vision_cfg"]["image_size"])


def _own(config: dict[str, object]) -> dict[str, object]:
    return {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode")}


@pytest.mark.slow
def test_texts_as_open_clip_encodes_them(
    model: str, weights: tuple[torch.nn.Module, Path], home: Path, tokenizer: None
) -> None:
    prompts = ["a red chair", "the lamp on the wall"]
    tokens = open_clip.get_tokenizer(openclip.parse(model).architecture)(prompts)
    with torch.no_grad():
        expected = weights[0].encode_text(tokens).numpy()
    ours = texts.embeddings(model, prompts)
    assert cosines(ours, expected).min() >= 0.9999
    assert cosines(ours[:1], ours[1:]).max() < 0.999
    with pytest.raises(UserError, match=r"longer than the (77|64) tokens"):
        texts.embeddings(model, ["chair " * 77])


@pytest.mark.slow
def test_a_siglips_own_similarity(
    model: str, weights: tuple[torch.nn.Module, Path], home: Path, tokenizer: None
) -> None:
    """The probability of open_clip's own logits; refused of a model without a bias."""
    from maskquery.scoring.class_embeddings import ClassScorer, Settings

    settings = Settings(
        view_weights={"crop": 1.0}, templates=("{}",), prompts="first", scoring="sigmoid",
        negative_prompts=(), temperature=1.0, quality=0.0,
    )  # fmt: skip
    classes = {"chair": ["a red chair"], "lamp": ["the lamp"]}
    if model == VIT:
        with pytest.raises(UserError, match="has no sigmoid of its own"):
            ClassScorer(model, ["crop"], settings, classes)
        return
    built = weights[0]
    pixels = torch.randn(2, 3, 224, 224)
    tokens = open_clip.get_tokenizer("ViT-B-16-SigLIP")(["a red chair", "the lamp"])
    with torch.no_grad():
        image = built.encode_image(pixels, normalize=True)
        logits = image @ built.encode_text(tokens, normalize=True).T
        expected = torch.sigmoid(built.logit_scale.exp() * logits + built.logit_bias)
    ones = np.ones(2, np.float32)
    scorer = ClassScorer(model, ["crop"], settings, classes)
    _, score = scorer.score(image.numpy()[:, None], ones, ones)
    np.testing.assert_allclose(score, expected.numpy(), rtol=1e-3)
    # The second time from the cache, without torch.
    code = f"""
import sys
from maskquery.clip import texts
print(texts.sigmoid({model!r})[1])
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(done.stdout) == pytest.approx(float(built.logit_bias.detach()))


def test_bilinear_and_unnormalised() -> None:
    """MobileCLIP's preprocessing, bilinear and without a mean, to the pixel."""
    from maskquery.clip.crops import Cutter, Preprocessing
    from maskquery.clip.openclip import preprocessing

    how = preprocessing(openclip.parse(MOBILE))
    assert how == Preprocessing((0.0,) * 3, (1.0,) * 3, "bilinear", "shortest")
    settings = parse(
        ClipParams,
        {
            "model": MOBILE, "tier": "exact", "views": ["plain"], "crop_padding": 0.0,
            "crop_shape": "model", "mirrored": False, "clahe": 0.0,
        },
    )  # fmt: skip
    image = photograph(90, 120)
    box, mask = np.array([5, 7, 105, 77], np.int32), pack(np.ones((90, 120), np.bool_))
    crop = Cutter(image, settings, 64, how)(box, mask, "plain")
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(
            size=64, mean=how.mean, std=how.std, interpolation="bilinear", resize_mode="shortest"
        ),
        is_train=False,
    )
    expected = transform(Image.fromarray(image[7:77, 5:105])).numpy().transpose(1, 2, 0) * 255
    np.testing.assert_allclose(crop, expected, atol=1e-3)


def test_table_is_open_clips() -> None:
    """Every model of `list_pretrained`, and what we read of it is what we can do."""
    listed = open_clip.list_pretrained()
    ours = {(a, tag) for a, tags in openclip.table_of_weights().items() for tag in tags}
    assert set(listed) <= ours
    for architecture, tag in listed:
        config = open_clip.get_pretrained_cfg(architecture, tag)
        assert openclip.table_of_weights()[architecture][tag] == config["hf_hub"]
        assert config["interpolation"] in ("bicubic", "bilinear")
        assert config["resize_mode"] in ("shortest", "squash")
        assert isinstance(open_clip.get_model_config(architecture)["vision_cfg"]["image_size"], int)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("openclip:ViT-B-33/x", "OpenCLIP has no ViT-B-33"),
        ("openclip:ViT-B-32/datacomp", "has the weights openai, .*, not datacomp"),
        ("openclip:ViT-B-32/openai@main", "a commit of 40 hex digits"),
        ("openclip:ViT-B-32", "has the weights openai"),
    ],
)
def test_unknown_names(model: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse(
            ClipParams,
            {
                "model": model, "tier": "exact", "views": ["plain"], "crop_padding": 0.0,
                "crop_shape": "model", "mirrored": False, "clahe": 0.0,
            },
        )  # fmt: skip


class Hub:
    """A Hub's cache in a folder, as `huggingface_hub` lays it out: blobs by sha256, snapshots."""

    COMMIT = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self, folder: Path, repository: str) -> None:
        self.repository = folder / f"models--{repository.replace('/', '--')}"

    def put(self, file: str, content: bytes, blob: str | None = None) -> None:
        for part in ("blobs", "refs", f"snapshots/{self.COMMIT}"):
            (self.repository / part).mkdir(parents=True, exist_ok=True)
        (self.repository / "refs" / "main").write_text(self.COMMIT)
        blobs = self.repository / "blobs"
        path = blobs / (blob or sha256(content).hexdigest())
        path.write_bytes(content)
        (self.repository / "snapshots" / self.COMMIT / file).symlink_to(path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("MASKQUERY_MODELS", str(tmp_path / "models"))
    return Hub(tmp_path / "hub", "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K")


def test_file_in_the_hubs_cache(hub: Hub) -> None:
    """Found without a network; its commit and its hash are known, and pin it."""
    hub.put("open_clip_pytorch_model.bin", b"pickle")
    hub.put("open_clip_model.safetensors", b"tensors")
    entry = checkpoints.find("clip", VIT)
    assert entry.sha256 == sha256(b"tensors").hexdigest()
    assert entry.revision == Hub.COMMIT
    assert checkpoints.find("clip", f"{VIT}@{Hub.COMMIT}").sha256 == entry.sha256
    with pytest.raises(UserError, match="cannot download laion/CLIP-ViT"):
        checkpoints.find("clip", f"{VIT}@{'1' * 40}")


def test_damaged_file_in_the_hubs_cache(hub: Hub) -> None:
    hub.put("open_clip_model.safetensors", b"tensors", blob=sha256(b"others").hexdigest())
    with pytest.raises(UserError, match="has another sha256 than the Hub published"):
        checkpoints.find("clip", VIT)


def test_without_a_network(hub: Hub) -> None:
    with pytest.raises(UserError, match=r"put the file at .*openclip-ViT-B-32-256-datacomp") as e:
        checkpoints.find("clip", VIT)
    assert "\n" not in str(e.value)


def test_other_weights_are_another_key(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "models" / "openclip-ViT-B-32-256-datacomp_s34b_b86k.pt"
    path.parent.mkdir()
    path.write_bytes(b"one")
    first = checkpoints.find("clip", VIT).sha256
    path.write_bytes(b"three")
    assert checkpoints.find("clip", VIT).sha256 != first


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing more", b"<html>404</html>"])
@pytest.mark.parametrize("suffix", openclip.SUFFIXES)
def test_file_with_something_else(hub: Hub, tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / "models" / f"openclip-ViT-B-32-256-datacomp_s34b_b86k{suffix}"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"does not hold the weights of clip\.model openclip") as e:
        loading.load(VIT, CPU)
    assert "\n" not in str(e.value)


def test_without_the_extra(tmp_path: Path) -> None:
    """What to install, in one line, and everything else works."""
    code = f"""
import sys
sys.modules["open_clip"] = sys.modules["huggingface_hub"] = None
from maskquery.clip import loading, texts
from maskquery.core.errors import UserError
assert texts.embeddings("tiny", ["a chair"]).shape == (1, 128)
try:
    texts.embeddings({VIT!r}, ["a chair"])
except UserError as error:
    print(error)
"""
    environment = os.environ | {
        "MASKQUERY_MODELS": str(tmp_path), "MASKQUERY_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert "pip install 'maskquery[openclip]'" in done.stdout
    assert not done.stderr
