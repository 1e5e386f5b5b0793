"""Masks of everything in an image: SAM's automatic mask generation without upstream's detours.

The steps and their order are those of `SamAutomaticMaskGenerator` (segment-anything 1.0), and so
are the masks, up to float rounding: a grid of points is decoded; masks are filtered by predicted
IoU, by stability score and at the edges of crops; duplicates are removed by their boxes, within
and between crops; small holes and islands are removed. What differs is when pixels are made: a
mask's logits are up-scaled only after its predicted IoU passed, and its pixels drawn only after
everything else did.

On the CPU points are decoded in chunks that fit its cache, a chunk on one thread: many operations
on small arrays gain nothing from threads within them, and which chunk a point is in depends on
neither their number nor their order.

Tier `fast` decodes a part of the points (`grid`), and is otherwise the same.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from itertools import count, groupby
from operator import itemgetter
from typing import Any

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
from torch import Tensor
from torchvision.ops import nms

from maskquery.masks.packed import ImageMasks, Packed, image_masks, mask_boxes, pack, unpack
from maskquery.models.device import has_bfloat16
from maskquery.sam.decoder import PointDecoder
from maskquery.sam.encoder import prepared
from maskquery.sam.grid import coarse, uncertain
from maskquery.sam.settings import Settings
from maskquery.sam.upsampling import Geometry, draw, measure

Floats = npt.NDArray[np.float32]

CHUNK_BYTES = 2 << 20  # of image tokens, for the prompts decoded at a time on the CPU


@dataclass(frozen=True)
class Candidates:
    """M masks of one crop before they have pixels; every field has one row a mask."""

    logits: Floats  # (M, L, L) at low resolution
    boxes: npt.NDArray[np.int64]  # (M, 4) outermost pixels, inclusive, in the crop
    predicted_iou: Floats
    stability_score: Floats
    points: npt.NDArray[np.float64]  # (M, 2) in the crop

    def __getitem__(
        self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice
    ) -> "Candidates":
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
        self._threshold = float(sam.mask_threshold)
        on_cuda = sam.device.type == "cuda"
        bf16 = settings.tier == "fast" and on_cuda and has_bfloat16(sam.device)
        self._encode = prepared(sam.image_encoder, bf16=bf16)
        self._input_size: int = sam.image_encoder.img_size
        self._transform = ResizeLongestSide(self._input_size)
        with torch.inference_mode():
            self._decoder = PointDecoder(sam)
        self._grids = build_all_layer_point_grids(
            settings.points_per_side,
            settings.crop_n_layers,
            settings.crop_n_points_downscale_factor,
        )
        on_cpu = sam.device.type == "cpu"
        fitting = max(1, CHUNK_BYTES // self._decoder.bytes_per_prompt)
        self._step = min(settings.points_per_batch, fitting if on_cpu else 1 << 30)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(
            self._threads, initializer=torch.set_num_threads, initargs=(1,)
        )
        # A GPU decodes one chunk at a time, while threads work on the masks of those before.
        self._decoding = nullcontext() if on_cpu else threading.Lock()

    @torch.inference_mode()
    def __call__(self, image: npt.NDArray[np.uint8]) -> ImageMasks:
        """The masks of `image` (H, W, 3) uint8 RGB, of any size, best first; there may be none.

        The record's `image`, the id, is left empty. Of equal masks the first is kept.
        """
        torch.set_num_threads(self._threads)  # a new thread takes over the last number set
        height, width = image.shape[:2]
        padded = self._padded(image)
        crops = self._crops(padded)
        masks = self._drawn(crops, padded.shape[:2])
        rows = np.arange(len(masks))
        if self._settings.min_mask_region_area > 0:
            masks, rows = self._without_small_regions(masks, padded.shape[1])
        candidates = [crop.found for crop in crops]
        points = _concatenated([crop.found.points + crop.box[:2] for crop in crops], (0, 2))
        if padded.shape != image.shape:
            masks = pack(unpack(masks, padded.shape[1])[:, :height, :width])
            points = np.minimum(points, np.array([width - 0.5, height - 0.5], np.float32))
        return image_masks(
            "",
            width,
            masks,
            predicted_iou=_concatenated([c.predicted_iou for c in candidates], (0,))[rows],
            stability_score=_concatenated([c.stability_score for c in candidates], (0,))[rows],
            points=points[rows],
        )

    def _padded(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """`image`, its last row or column repeated if it is too thin for upstream's steps.

        No crop may be empty, nor any side of it vanish when the longer one is resized to the
        model's input size. Where upstream fails for that, the least padding is added that helps.
        """
        height, width = image.shape[:2]
        sizes = ((max(height, least), max(width, least)) for least in count(1))
        padded = next(size for size in sizes if self._can_be_cropped(size))
        below, beside = padded[0] - height, padded[1] - width
        return np.pad(image, ((0, below), (0, beside), (0, 0)), mode="edge")

    def _can_be_cropped(self, size: tuple[int, int]) -> bool:
        settings = self._settings
        boxes, _ = generate_crop_boxes(size, settings.crop_n_layers, settings.crop_overlap_ratio)
        sides = [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in boxes]
        resized = self._transform.get_preprocess_shape
        return all(min(side) > 0 and min(resized(*side, self._input_size)) > 0 for side in sides)

    def _crops(self, image: npt.NDArray[np.uint8]) -> list[Crop]:
        """The crops of all layers, without what several of them found."""
        settings = self._settings
        boxes, layers = generate_crop_boxes(
            image.shape[:2], settings.crop_n_layers, settings.crop_overlap_ratio
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
        moved = np.concatenate([crop.found.boxes + np.tile(crop.box[:2], 2) for crop in crops])
        keep = _nms(moved, 1 / torch.tensor(np.repeat(areas, counts)), settings.crop_nms_thresh)
        owners = np.repeat(np.arange(len(crops)), counts)
        rows = keep - (np.cumsum(counts) - counts)[owners[keep]]
        # The order is that of `keep`: smaller crops first, a crop's masks best first.
        return [
            replace(crops[owner], found=crops[owner].found[np.array([row for _, row in run])])
            for owner, run in groupby(zip(owners[keep], rows, strict=True), itemgetter(0))
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
        self._decoder.set_image(self._encode(self._sam.preprocess(pixels.float())))
        geometry = Geometry.between(
            self._decoder.low_resolution, self._input_size, resized.shape[:2], size
        )
        points = grid * np.array(size)[::-1]
        inputs = torch.from_numpy(self._transform.apply_coords(points, size))
        if self._sam.device.type == "mps":  # which has no float64
            inputs = inputs.float()

        def find(chosen: npt.NDArray[np.bool_]) -> Iterator[Candidates]:
            rows = np.flatnonzero(chosen)
            chunks = [rows[start : start + self._step] for start in range(0, len(rows), self._step)]
            return self._pool.map(
                lambda chunk: self._decode(inputs[chunk], points[chunk], geometry), chunks
            )

        if self._settings.tier == "exact":
            found = [*find(np.ones(len(points), np.bool_))]
        else:
            found = [*find(coarse(round(len(points) ** 0.5)))]
            covers = self._covers(self._best(found, box, image.shape).logits, inputs)
            found += find(uncertain(covers))
        return Crop((x0, y0, x1, y1), geometry, self._best(found, box, image.shape))

    def _best(
        self, found: Sequence[Candidates], box: tuple[int, ...], size: tuple[int, ...]
    ) -> Candidates:
        """Best first, without duplicates and what an edge of the crop cuts off within the image."""
        boxes = np.concatenate([batch.boxes for batch in found])
        scores = torch.from_numpy(np.concatenate([batch.predicted_iou for batch in found]))
        whole = [0, 0, size[1], size[0]]
        near = is_box_near_crop_edge(torch.from_numpy(boxes), list(box), whole).numpy()
        rows = np.flatnonzero(~near)
        return _taken(found, rows[_nms(boxes[rows], scores[rows], self._settings.box_nms_thresh)])

    def _covers(self, logits: Floats, inputs: Tensor) -> npt.NDArray[np.bool_]:
        """Whether masks (M, L, L) cover points (P, 2) of the model's pixels: (M, P)."""
        low = self._decoder.low_resolution
        x, y = np.minimum(inputs.numpy() * low / self._input_size, low - 1).astype(np.int64).T
        covers: npt.NDArray[np.bool_] = logits[:, y, x] > self._threshold
        return covers

    @torch.inference_mode()
    def _decode(
        self, inputs: Tensor, points: npt.NDArray[np.float64], geometry: Geometry
    ) -> Candidates:
        """A chunk of points, `inputs` in the model's pixels, through the filters by score."""
        settings = self._settings
        with self._decoding:
            decoded = self._decoder.decode(inputs.to(self._sam.device))
            passed = torch.ones_like(decoded.predicted_iou, dtype=torch.bool)
            if settings.pred_iou_thresh > 0:
                passed = decoded.predicted_iou > settings.pred_iou_thresh
            logits = self._decoder.masks(decoded, passed).float().cpu().numpy()
            prompts, _ = np.nonzero(passed.cpu().numpy())
            scores = decoded.predicted_iou[passed].float().cpu().numpy()
        counts, boxes = measure(logits, geometry, self._threshold, settings.stability_score_offset)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, which no threshold lets pass
            stability = np.divide(counts[:, 2], counts[:, 0], dtype=np.float32)
        keep = np.ones(len(logits), np.bool_)
        if settings.stability_score_thresh > 0:
            keep = stability >= np.float32(settings.stability_score_thresh)
        return Candidates(logits, boxes, scores, stability, points[prompts])[keep]

    def _drawn(self, crops: list[Crop], size: tuple[int, ...]) -> Packed:
        """The M candidates of all crops as masks of the image: (M, H, W8) packed bits."""
        height, width = size
        count = sum(len(crop.found.boxes) for crop in crops)
        masks = np.zeros((count, height, -(-width // 8)), np.uint8)
        places = iter(masks)

        def place(job: tuple[Packed, Floats, Crop]) -> None:
            mask, logits, crop = job
            x0, y0, x1, y1 = crop.box
            drawn = draw(logits, crop.geometry, self._threshold)
            if x1 - x0 < width:
                drawn = pack(np.pad(unpack(drawn, x1 - x0), ((0, 0), (x0, width - x1))))
            mask[y0:y1] = drawn

        jobs = [(next(places), logits, crop) for crop in crops for logits in crop.found.logits]
        list(self._pool.map(place, jobs))
        return masks

    def _without_small_regions(
        self, masks: Packed, width: int
    ) -> tuple[Packed, npt.NDArray[np.int64]]:
        """Small holes filled and small islands removed; new duplicates go, changed ones first.

        Returns:
            The masks that stay, and which of those given they are.
        """
        settings = self._settings
        cleaned, unchanged = masks.copy(), []
        for index, mask in enumerate(masks):
            pixels, filled = remove_small_regions(
                unpack(mask, width), settings.min_mask_region_area, mode="holes"
            )
            pixels, cleared = remove_small_regions(
                pixels, settings.min_mask_region_area, mode="islands"
            )
            cleaned[index] = pack(pixels)
            unchanged.append(float(not (filled or cleared)))
        boxes = np.zeros((len(cleaned), 4), np.int64)
        if (solid := cleaned.any(axis=(1, 2))).any():
            boxes[solid] = mask_boxes(cleaned[solid], width) - (0, 0, 1, 1)
        limit = max(settings.box_nms_thresh, settings.crop_nms_thresh)
        keep = _nms(boxes, torch.tensor(unchanged), limit)
        return cleaned[keep], keep


def _nms(boxes: npt.NDArray[np.int64], scores: Tensor, limit: float) -> npt.NDArray[np.int64]:
    """Which of (M, 4) boxes stay, best first: none that overlaps a better one by more."""
    keep: npt.NDArray[np.int64] = nms(torch.from_numpy(boxes).float(), scores, limit).numpy()
    return keep


def _taken(batches: Sequence[Candidates], rows: npt.NDArray[np.int64]) -> Candidates:
    """Rows of all batches together; those that are left are not copied, as they are most."""
    starts = np.cumsum([0, *(len(batch.boxes) for batch in batches)])
    owners = np.searchsorted(starts, rows, side="right") - 1
    places = zip(owners.tolist(), (rows - starts[owners]).tolist(), strict=True)
    parts = [batches[0][:0], *(batches[owner][row : row + 1] for owner, row in places)]
    columns = ([getattr(part, field.name) for part in parts] for field in fields(Candidates))
    return Candidates(*(np.concatenate(column) for column in columns))


def _concatenated(parts: Sequence[npt.NDArray[Any]], empty: tuple[int, ...]) -> Floats:
    return np.concatenate([np.zeros(empty), *parts]).astype(np.float32)
