"""Masks of everything in an image: SAM's automatic mask generation without upstream's detours.

The steps and their order are those of `SamAutomaticMaskGenerator` (segment-anything 1.0), and so
are the masks, up to float rounding: a grid of points is decoded; masks are filtered by predicted
IoU, by stability score and at the edges of crops; duplicates are removed by their boxes, within
and between crops; small holes and islands are removed. What differs is when pixels are made: a
mask's logits are up-scaled only after its predicted IoU passed, and its pixels drawn only after
everything else did.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.amg import (
    build_all_layer_point_grids,
    generate_crop_boxes,
    is_box_near_crop_edge,
    remove_small_regions,
)
from segment_anything.utils.transforms import ResizeLongestSide
from torchvision.ops import nms

from retrieval.masks import Packed, mask_boxes, pack, unpack
from retrieval.sam.decoder import PointDecoder
from retrieval.sam.settings import Settings
from retrieval.sam.upsampling import Geometry, draw, measure

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """N masks of an H x W image, best first; `masks.image_masks` takes it.

    Attributes:
        masks: (N, H, W8) uint8, packed bits. Some may be equal or without a pixel.
        predicted_iou: (N,) float32.
        stability_score: (N,) float32.
        points: (N, 2) float32, x, y in pixels.
    """

    masks: Packed
    predicted_iou: Floats
    stability_score: Floats
    points: Floats


@dataclass(frozen=True)
class Candidates:
    """M masks of one crop before they have pixels; every field has one row a mask."""

    logits: Floats  # (M, L, L) at low resolution
    boxes: npt.NDArray[np.int64]  # (M, 4) outermost pixels, inclusive, in the crop
    predicted_iou: Floats
    stability_score: Floats
    points: npt.NDArray[np.float64]  # (M, 2) in the crop

    def __getitem__(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> "Candidates":
        return Candidates(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Crop:
    """A part of the image that is segmented on its own, with what was found in it."""

    box: tuple[int, int, int, int]  # x0, y0, x1, y1, half-open
    geometry: Geometry
    found: Candidates


class MaskGenerator:
    """Finds the masks of one image after the other."""

    def __init__(self, sam: Sam, settings: Settings) -> None:
        self._sam = sam
        self._settings = settings
        self._input_size: int = sam.image_encoder.img_size
        self._transform = ResizeLongestSide(self._input_size)
        with torch.inference_mode():
            self._decoder = PointDecoder(sam)
        self._grids = build_all_layer_point_grids(
            settings.points_per_side,
            settings.crop_n_layers,
            settings.crop_n_points_downscale_factor,
        )

    @torch.inference_mode()
    def __call__(self, image: npt.NDArray[np.uint8]) -> Found:
        """The masks of `image` (H, W, 3) uint8 RGB, of any size; there may be none."""
        height, width = image.shape[:2]
        padded = self._padded(image)
        crops = self._crops(padded)
        found = _drawn(crops, padded.shape[:2], float(self._sam.mask_threshold))
        if self._settings.min_mask_region_area > 0:
            found = self._without_small_regions(found, padded.shape[1])
        if padded.shape == image.shape:
            return found
        trimmed = pack(unpack(found.masks, padded.shape[1])[:, :height, :width])
        last = np.array([width - 0.5, height - 0.5], np.float32)
        points = np.minimum(found.points, last)
        return Found(trimmed, found.predicted_iou, found.stability_score, points)

    def _padded(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """`image`, its last row or column repeated if it is too thin for upstream's steps.

        A side must not vanish when the longer one is resized to the model's input size, and n x n
        crops need n^2 pixels a side.
        """
        height, width = image.shape[:2]
        least = max(4**self._settings.crop_n_layers, -(-max(height, width) // self._input_size))
        below, beside = max(least - height, 0), max(least - width, 0)
        return np.pad(image, ((0, below), (0, beside), (0, 0)), mode="edge")

    def _crops(self, image: npt.NDArray[np.uint8]) -> list[Crop]:
        """The crops of all layers, without what several of them found."""
        size = image.shape[:2]
        settings = self._settings
        boxes, layers = generate_crop_boxes(
            size, settings.crop_n_layers, settings.crop_overlap_ratio
        )
        crops = [
            self._crop(image, tuple(box), self._grids[layer])
            for box, layer in zip(boxes, layers, strict=True)
        ]
        if len(crops) == 1:
            return crops
        # Masks of smaller crops are preferred, as upstream does.
        areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (crop.box for crop in crops)]
        counts = [len(crop.found.boxes) for crop in crops]
        scores = 1 / torch.tensor(np.repeat(areas, counts))
        moved = [crop.found.boxes + np.tile(crop.box[:2], 2) for crop in crops]
        keep = nms(torch.from_numpy(np.concatenate(moved)).float(), scores, settings.crop_nms_thresh)
        order = np.repeat(np.arange(len(crops)), counts)[keep]
        first = np.cumsum([0, *counts[:-1]])
        # Upstream's order is that of `keep`: by crop size, best first within a crop.
        return [
            Crop(crops[index].box, crops[index].geometry, crops[index].found[keep.numpy()[part] - first[index]])
            for index, part in _runs(order)
        ]

    def _crop(
        self, image: npt.NDArray[np.uint8], box: tuple[int, ...], grid: npt.NDArray[np.float64]
    ) -> Crop:
        """Encode one crop, decode its points, and keep the best of masks with like boxes."""
        x0, y0, x1, y1 = box
        part = image[y0:y1, x0:x1]
        size = part.shape[:2]
        resized = self._transform.apply_image(part)
        pixels = torch.from_numpy(resized).to(self._sam.device).permute(2, 0, 1)[None]
        self._decoder.set_image(self._sam.image_encoder(self._sam.preprocess(pixels.float())))
        geometry = Geometry.between(
            self._decoder.low_resolution, self._input_size, resized.shape[:2], size
        )
        points = grid * np.array(size)[::-1]
        step = self._settings.points_per_batch
        batches = [
            self._decode(points[start : start + step], size, box, geometry, image.shape[:2])
            for start in range(0, len(points), step)
        ]
        found = Candidates(
            *(
                np.concatenate([getattr(batch, field.name) for batch in batches])
                for field in fields(Candidates)
            )
        )
        boxes, scores = torch.from_numpy(found.boxes).float(), torch.from_numpy(found.predicted_iou)
        keep = nms(boxes, scores, self._settings.box_nms_thresh).numpy()
        return Crop((x0, y0, x1, y1), geometry, found[keep])

    def _decode(
        self,
        points: npt.NDArray[np.float64],
        size: tuple[int, ...],
        box: tuple[int, ...],
        geometry: Geometry,
        image_size: tuple[int, ...],
    ) -> Candidates:
        """One batch of points, through every filter that needs no other mask."""
        settings, threshold = self._settings, float(self._sam.mask_threshold)
        inputs = torch.from_numpy(self._transform.apply_coords(points, size))
        if self._sam.device.type == "mps":  # which has no float64
            inputs = inputs.float()
        decoded = self._decoder.decode(inputs.to(self._sam.device))
        passed = torch.ones_like(decoded.predicted_iou, dtype=torch.bool)
        if settings.pred_iou_thresh > 0:
            passed = decoded.predicted_iou > settings.pred_iou_thresh
        logits = self._decoder.masks(decoded, passed).float().cpu().numpy()
        counts, boxes = measure(logits, geometry, threshold, settings.stability_score_offset)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, which no threshold lets pass
            stability = counts[:, 2].astype(np.float32) / counts[:, 0].astype(np.float32)
        keep = np.ones(len(logits), np.bool_)
        if settings.stability_score_thresh > 0:
            keep = stability >= np.float32(settings.stability_score_thresh)
        whole = [0, 0, image_size[1], image_size[0]]
        near = is_box_near_crop_edge(torch.from_numpy(boxes), list(box), whole)
        prompts, _ = np.nonzero(passed.cpu().numpy())
        scores = decoded.predicted_iou[passed].float().cpu().numpy()
        return Candidates(logits, boxes, scores, stability, points[prompts])[keep & ~near.numpy()]

    def _without_small_regions(self, found: Found, width: int) -> Found:
        """Small holes filled and small islands removed; new duplicates go, changed ones first."""
        settings = self._settings
        masks, unchanged = found.masks.copy(), []
        for index, mask in enumerate(found.masks):
            pixels, filled = remove_small_regions(
                unpack(mask, width), settings.min_mask_region_area, mode="holes"
            )
            pixels, cleared = remove_small_regions(
                pixels, settings.min_mask_region_area, mode="islands"
            )
            masks[index] = pack(pixels)
            unchanged.append(float(not (filled or cleared)))
        boxes = np.zeros((len(masks), 4), np.int64)
        if (solid := masks.any(axis=(1, 2))).any():
            boxes[solid] = mask_boxes(masks[solid], width) - (0, 0, 1, 1)
        limit = max(settings.box_nms_thresh, settings.crop_nms_thresh)
        keep = nms(torch.from_numpy(boxes).float(), torch.tensor(unchanged), limit).numpy()
        return Found(
            masks[keep], found.predicted_iou[keep], found.stability_score[keep], found.points[keep]
        )


def _drawn(crops: list[Crop], size: tuple[int, ...], threshold: float) -> Found:
    """The candidates of all crops as masks of the image (H, W)."""
    height, width = size
    masks, points = [np.zeros((0, height, -(-width // 8)), np.uint8)], [np.zeros((0, 2))]
    for crop in crops:
        x0, y0, x1, y1 = crop.box
        drawn = draw(crop.found.logits, crop.geometry, threshold)
        if (y1 - y0, x1 - x0) != (height, width):
            whole = np.zeros((len(drawn), height, width), np.bool_)
            whole[:, y0:y1, x0:x1] = unpack(drawn, x1 - x0)
            drawn = pack(whole)
        masks.append(drawn)
        points.append(crop.found.points + (x0, y0))
    return Found(
        np.concatenate(masks),
        np.concatenate([np.zeros(0, np.float32), *(c.found.predicted_iou for c in crops)]),
        np.concatenate([np.zeros(0, np.float32), *(c.found.stability_score for c in crops)]),
        np.concatenate(points).astype(np.float32),
    )


def _runs(values: npt.NDArray[np.int64]) -> list[tuple[int, slice]]:
    """Each run of equal values with its place."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    ends = [*starts[1:], len(values)]
    return [(int(values[s]), slice(s, e)) for s, e in zip(starts, ends, strict=True)]
