"""MobileSAM equals its published package, encoder and masks, with random weights."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam

from maskquery.masks.packed import unpack
from maskquery.sam.generator import MaskGenerator
from maskquery.sam.loading import load
from maskquery.sam.settings import Settings
from tests.support.published import publisher

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is written for earlier versions of timm
    mobile_sam = pytest.importorskip("mobile_sam", reason="mobilesam-mirror is not installed")


@pytest.fixture(scope="module")
def published() -> Sam:
    """The package's own model, with random weights all of which matter."""
    torch.manual_seed(0)
    model = mobile_sam.sam_model_registry["vit_t"]()
    for name, weight in model.image_encoder.named_parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, 1 if name.endswith("weight") else 0, 0.2)
        elif name.endswith("attention_biases"):
            torch.nn.init.normal_(weight)
    for name, buffer in model.image_encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return model.train().eval()  # the biases are gathered anew


@pytest.fixture
def loaded(published: Sam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sam:
    """Ours, from a file as it is published."""
    torch.save(published.state_dict(), tmp_path / "mobile_sam.pt")
    publisher("sam", tmp_path, monkeypatch)("mobile", tmp_path / "mobile_sam.pt")
    return load("mobile", torch.device("cpu"))


def test_file_is_of_the_published_size(published: Sam, tmp_path: Path) -> None:
    """The same names and shapes: but for the names of the archive's parts, as many bytes."""
    from maskquery.models import checkpoints

    torch.save(published.state_dict(), tmp_path / "mobile_sam.pt")
    size = checkpoints.find("sam", "mobile").size
    assert size is not None
    assert abs((tmp_path / "mobile_sam.pt").stat().st_size - size) < 0.005 * size


@pytest.mark.slow
def test_embedding(published: Sam, loaded: Sam) -> None:
    pixels = torch.randn(1, 3, 1024, 1024)
    with torch.no_grad():
        expected, ours = published.image_encoder(pixels), loaded.image_encoder(pixels)
    assert expected.std() > 0.1
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_masks(published: Sam, loaded: Sam) -> None:
    """Those of the package's own generator on its own model."""
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    settings = Settings(
        tier="exact", points_per_side=6, points_per_batch=64, pred_iou_thresh=0.0,
        stability_score_thresh=0.0, stability_score_offset=1.0, box_nms_thresh=1.0,
        crop_n_layers=0, crop_nms_thresh=0.7, crop_overlap_ratio=0.34,
        crop_n_points_downscale_factor=1, min_mask_region_area=0, clahe=0,
    )  # fmt: skip
    theirs = mobile_sam.SamAutomaticMaskGenerator(published, **settings.upstream())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs.generate(image)
    ours = MaskGenerator(loaded, settings).generate(image)
    assert len(expected) > 50
    assert len(ours.ids) == len({mask["segmentation"].tobytes() for mask in expected})
    for mask, point, quality in zip(
        unpack(ours.masks, 160), ours.points, ours.predicted_iou, strict=True
    ):
        same_point = [m for m in expected if np.allclose(m["point_coords"][0], point)]
        nearest = min(same_point, key=lambda m: abs(m["predicted_iou"] - quality))
        assert abs(nearest["predicted_iou"] - quality) < 1e-4
        assert np.mean(mask == nearest["segmentation"]) >= 0.999
