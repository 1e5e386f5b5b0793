"""Automatic mask generation: SAM prompted with a grid of points over an image.

The steps, their names and their order are those of `SamAutomaticMaskGenerator` (segment-anything
1.0), and the masks are upstream's up to float rounding:

| upstream | here |
|---|---|
| `generate` | `generate`, which returns an `ImageMasks` instead of a list of dicts |
| `_generate_masks` | `_generate_masks`: all crops, then non-maximum suppression between them |
| `_process_crop` | `_process_crop`: encode a crop, decode its points, suppress duplicates |
| `_process_batch` | `_process_batch`: decode points, filter by predicted IoU and stability score |
| `postprocess_small_regions` | `_postprocess_small_regions`: fill holes, remove islands |
| `MaskData` | `Candidates` |

What differs is when pixels are computed. Upstream resizes the logits of every mask to the image.
Here logits are upscaled in the decoder only if the predicted IoU passes, they are measured at the
image's size without the pixels between (`upsampling`), and pixels are drawn last, in `_draw_masks`,
for the masks that remain.

On the CPU, points are decoded in chunks that fit the processor's cache, each chunk in one thread:
threads within such small operations gain nothing. How many threads there are changes no result.

Tier `fast` decodes only some of the points (`grid`).
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
from maskquery.sam.encoder import fuse_encoder
from maskquery.sam.grid import coarse_points, uncertain_points
from maskquery.sam.settings import Settings
from maskquery.sam.upsampling import Geometry, draw, measure

Floats = npt.NDArray[np.float32]
Box = tuple[int, int, int, int]  # x0, y0, x1, y1, half-open

CHUNK_BYTES = 2 << 20  # of image tokens, for the prompts decoded at a time on the CPU


@dataclass(frozen=True)
class Candidates:
    """M masks of one crop that have no pixels yet; upstream's `MaskData`.

    Attributes:
        logits: (M, L, L) float32, at low resolution.
        boxes: (M, 4) int64, x0, y0, x1, y1 of the outermost pixels, inclusive, in the crop.
        predicted_iou: (M,) float32.
        stability_score: (M,) float32.
        points: (M, 2) float64, x, y of the prompts, in the crop.
    """

    logits: Floats
    boxes: npt.NDArray[np.int64]
    predicted_iou: Floats
    stability_score: Floats
    points: npt.NDArray[np.float64]

    def __getitem__(
        self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64] | slice
    ) -> "Candidates":
        return Candidates(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Crop:
    """A part of the image that is segmented on its own, and the candidates in it."""

    box: Box
    geometry: Geometry
    candidates: Candidates


class MaskGenerator:
    """Generates the masks of one image after the other.

    Args:
        sam: the model, in evaluation mode; it stays as it is.
        settings: see `Settings`, whose names are upstream's.
    """

    def __init__(self, sam: Sam, settings: Settings) -> None:
        self._sam = sam
        self._settings = settings
        self._threshold = float(sam.mask_threshold)
        on_cuda = sam.device.type == "cuda"
        bf16 = settings.tier == "fast" and on_cuda and has_bfloat16(sam.device)
        self._encode = fuse_encoder(sam.image_encoder, bf16=bf16)
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
        fitting_prompts = max(1, CHUNK_BYTES // self._decoder.bytes_per_prompt)
        self._chunk_size = min(settings.points_per_batch, fitting_prompts if on_cpu else 1 << 30)
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(
            self._threads, initializer=torch.set_num_threads, initargs=(1,)
        )
        # A GPU decodes one chunk at a time, while threads measure the masks of earlier chunks.
        self._decoder_lock = nullcontext() if on_cpu else threading.Lock()

    @torch.inference_mode()
    def generate(self, image: npt.NDArray[np.uint8]) -> ImageMasks:
        """Generate the masks of an image of any size; there may be none.

        >>> import numpy, torch
        >>> from maskquery.sam import loading
        >>> from maskquery.sam.settings import Settings
        >>> settings = Settings(
        ...     tier="exact", points_per_side=4, points_per_batch=64, pred_iou_thresh=0.8,
        ...     stability_score_thresh=0.9, stability_score_offset=1.0, box_nms_thresh=0.7,
        ...     crop_n_layers=0, crop_nms_thresh=0.7, crop_overlap_ratio=0.34,
        ...     crop_n_points_downscale_factor=1, min_mask_region_area=0, clahe=0.0)
        >>> generator = MaskGenerator(loading.load("tiny", torch.device("cpu")), settings)
        >>> image = numpy.full((60, 100, 3), 200, numpy.uint8)  # a white wall
        >>> image[20:40, 30:70] = (150, 20, 20)  # and a red picture on it
        >>> masks = generator.generate(image)
        >>> masks.masks.shape == (len(masks.ids), 60, 13)  # 13 bytes hold 100 bits
        True

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The masks, those of the highest predicted IoU first; smaller crops come before larger
            ones. Of equal masks the first is kept. `image`, the id, is empty.
        """
        torch.set_num_threads(self._threads)  # a new thread inherits the last number set anywhere
        height, width = image.shape[:2]
        padded = self._pad(image)
        crops = self._generate_masks(padded)
        masks = self._draw_masks(crops, padded.shape[:2])
        rows = np.arange(len(masks))
        if self._settings.min_mask_region_area > 0:
            masks, rows = self._postprocess_small_regions(masks, padded.shape[1])
        candidates = [crop.candidates for crop in crops]
        points = _concatenate([crop.candidates.points + crop.box[:2] for crop in crops], (0, 2))
        if padded.shape != image.shape:
            masks = pack(unpack(masks, padded.shape[1])[:, :height, :width])
            points = np.minimum(points, np.array([width - 0.5, height - 0.5], np.float32))
        return image_masks(
            "",
            width,
            masks,
            predicted_iou=_concatenate([c.predicted_iou for c in candidates], (0,))[rows],
            stability_score=_concatenate([c.stability_score for c in candidates], (0,))[rows],
            points=points[rows],
        )

    def _pad(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Repeat the last row or column of an image that is too thin for upstream's steps.

        Upstream fails if a crop is empty, or if a side of it vanishes when the longer one is
        resized to the model's input. The least padding that prevents this is added.
        """
        height, width = image.shape[:2]
        sizes = ((max(height, least), max(width, least)) for least in count(1))
        rows, columns = next(size for size in sizes if self._can_crop(size))
        return np.pad(image, ((0, rows - height), (0, columns - width), (0, 0)), mode="edge")

    def _can_crop(self, size: tuple[int, int]) -> bool:
        settings = self._settings
        boxes, _ = generate_crop_boxes(size, settings.crop_n_layers, settings.crop_overlap_ratio)
        sides = [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in boxes]
        resize = self._transform.get_preprocess_shape
        return all(min(side) > 0 and min(resize(*side, self._input_size)) > 0 for side in sides)

    def _generate_masks(self, image: npt.NDArray[np.uint8]) -> list[Crop]:
        """The crops of all layers, without duplicates between crops."""
        settings = self._settings
        boxes, layers = generate_crop_boxes(
            image.shape[:2], settings.crop_n_layers, settings.crop_overlap_ratio
        )
        crops = [
            self._process_crop(image, tuple(box), self._grids[layer])
            for box, layer in zip(boxes, layers, strict=True)
        ]
        if len(crops) == 1:
            return crops
        # Of duplicates the one of the smaller crop is kept, as upstream does.
        areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (crop.box for crop in crops)]
        counts = [len(crop.candidates.boxes) for crop in crops]
        boxes = np.concatenate([crop.candidates.boxes + np.tile(crop.box[:2], 2) for crop in crops])
        keep = _nms(boxes, 1 / torch.tensor(np.repeat(areas, counts)), settings.crop_nms_thresh)
        crop_of = np.repeat(np.arange(len(crops)), counts)
        rows = keep - (np.cumsum(counts) - counts)[crop_of[keep]]
        # The order is that of `keep`: smaller crops first, a crop's masks best first.
        groups = groupby(zip(crop_of[keep], rows, strict=True), itemgetter(0))
        return [
            replace(
                crops[index],
                candidates=crops[index].candidates[np.array([row for _, row in group])],
            )
            for index, group in groups
        ]

    def _process_crop(
        self, image: npt.NDArray[np.uint8], box: Box, grid: npt.NDArray[np.float64]
    ) -> Crop:
        """Encode a crop, decode its points, and suppress duplicates.

        Args:
            image: (H, W, 3), the whole image.
            box: of the crop.
            grid: (P, 2) points, x, y as shares of the crop's sides.
        """
        x0, y0, x1, y1 = box
        crop = image[y0:y1, x0:x1]
        size = crop.shape[:2]
        resized = self._transform.apply_image(crop)
        pixels = torch.from_numpy(resized).to(self._sam.device).permute(2, 0, 1)[None]
        self._decoder.set_image(self._encode(self._sam.preprocess(pixels.float())))
        geometry = Geometry.between(
            self._decoder.low_resolution, self._input_size, resized.shape[:2], size
        )
        points = grid * np.array(size)[::-1]
        inputs = torch.from_numpy(self._transform.apply_coords(points, size))
        if self._sam.device.type == "mps":  # which has no float64
            inputs = inputs.float()

        def process(decode: npt.NDArray[np.bool_]) -> Iterator[Candidates]:
            """The candidates of the points that `decode` (P,) names, chunk by chunk."""
            rows, size = np.flatnonzero(decode), self._chunk_size
            chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
            return self._pool.map(
                lambda chunk: self._process_batch(inputs[chunk], points[chunk], geometry), chunks
            )

        if self._settings.tier == "exact":
            batches = [*process(np.ones(len(points), np.bool_))]
        else:
            batches = [*process(coarse_points(round(len(points) ** 0.5)))]
            covers = self._covers(self._suppress(batches, box, image.shape).logits, inputs)
            batches += process(uncertain_points(covers))
        return Crop(box, geometry, self._suppress(batches, box, image.shape))

    def _suppress(
        self, batches: Sequence[Candidates], box: Box, size: tuple[int, ...]
    ) -> Candidates:
        """The candidates of all batches, best first: no duplicates, none that the crop cuts off.

        Args:
            batches: of one crop.
            box: of the crop.
            size: (H, W, ...) of the image, whose own edges may cut masks off.
        """
        boxes = np.concatenate([batch.boxes for batch in batches])
        scores = torch.from_numpy(np.concatenate([batch.predicted_iou for batch in batches]))
        whole = [0, 0, size[1], size[0]]
        near = is_box_near_crop_edge(torch.from_numpy(boxes), list(box), whole).numpy()
        rows = np.flatnonzero(~near)
        keep = rows[_nms(boxes[rows], scores[rows], self._settings.box_nms_thresh)]
        return _select(batches, keep)

    def _covers(self, logits: Floats, inputs: Tensor) -> npt.NDArray[np.bool_]:
        """Whether masks (M, L, L) cover points (P, 2) of the model's input pixels: (M, P)."""
        low = self._decoder.low_resolution
        x, y = np.minimum(inputs.numpy() * low / self._input_size, low - 1).astype(np.int64).T
        covers: npt.NDArray[np.bool_] = logits[:, y, x] > self._threshold
        return covers

    @torch.inference_mode()
    def _process_batch(
        self, inputs: Tensor, points: npt.NDArray[np.float64], geometry: Geometry
    ) -> Candidates:
        """Decode points, and keep masks by predicted IoU and stability score.

        Args:
            inputs: (B, 2), x, y in the model's input pixels.
            points: (B, 2), the same points in the crop.
            geometry: of the crop.
        """
        settings = self._settings
        with self._decoder_lock:
            decoded = self._decoder.decode(inputs.to(self._sam.device))
            passes = torch.ones_like(decoded.predicted_iou, dtype=torch.bool)  # (B, 3)
            if settings.pred_iou_thresh > 0:
                passes = decoded.predicted_iou > settings.pred_iou_thresh
            logits = self._decoder.masks(decoded, passes).float().cpu().numpy()
            prompts, _ = np.nonzero(passes.cpu().numpy())
            scores = decoded.predicted_iou[passes].float().cpu().numpy()
        counts, boxes = measure(logits, geometry, self._threshold, settings.stability_score_offset)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, which no threshold lets pass
            stability = np.divide(counts[:, 2], counts[:, 0], dtype=np.float32)
        keep = np.ones(len(logits), np.bool_)
        if settings.stability_score_thresh > 0:
            keep = stability >= np.float32(settings.stability_score_thresh)
        return Candidates(logits, boxes, scores, stability, points[prompts])[keep]

    def _draw_masks(self, crops: list[Crop], size: tuple[int, ...]) -> Packed:
        """The M candidates of all crops as masks of the image: (M, H, W8) packed bits."""
        height, width = size
        total = sum(len(crop.candidates.boxes) for crop in crops)
        masks = np.zeros((total, height, -(-width // 8)), np.uint8)
        rows = iter(masks)

        def draw_mask(job: tuple[Packed, Floats, Crop]) -> None:
            mask, logits, crop = job
            x0, y0, x1, y1 = crop.box
            pixels = draw(logits, crop.geometry, self._threshold)
            if x1 - x0 < width:
                pixels = pack(np.pad(unpack(pixels, x1 - x0), ((0, 0), (x0, width - x1))))
            mask[y0:y1] = pixels

        jobs = [(next(rows), logits, crop) for crop in crops for logits in crop.candidates.logits]
        list(self._pool.map(draw_mask, jobs))
        return masks

    def _postprocess_small_regions(
        self, masks: Packed, width: int
    ) -> tuple[Packed, npt.NDArray[np.int64]]:
        """Fill small holes, remove small islands, then duplicates; changed masks go first.

        Args:
            masks: (M, H, W8) packed bits.
            width: W.

        Returns:
            masks (K, H, W8) packed bits, and rows (K,): which of the M they are.
        """
        settings = self._settings
        cleaned, unchanged = masks.copy(), []
        for index, mask in enumerate(masks):
            pixels, has_filled = remove_small_regions(
                unpack(mask, width), settings.min_mask_region_area, mode="holes"
            )
            pixels, has_removed = remove_small_regions(
                pixels, settings.min_mask_region_area, mode="islands"
            )
            cleaned[index] = pack(pixels)
            unchanged.append(float(not (has_filled or has_removed)))
        boxes = np.zeros((len(cleaned), 4), np.int64)
        if (solid := cleaned.any(axis=(1, 2))).any():
            boxes[solid] = mask_boxes(cleaned[solid], width) - (0, 0, 1, 1)
        limit = max(settings.box_nms_thresh, settings.crop_nms_thresh)
        keep = _nms(boxes, torch.tensor(unchanged), limit)
        return cleaned[keep], keep


def _nms(boxes: npt.NDArray[np.int64], scores: Tensor, limit: float) -> npt.NDArray[np.int64]:
    """Non-maximum suppression of boxes (M, 4): which rows stay, those of the best scores first.

    A box goes if its IoU with one of a better score is above `limit`.
    """
    keep: npt.NDArray[np.int64] = nms(torch.from_numpy(boxes).float(), scores, limit).numpy()
    return keep


def _select(batches: Sequence[Candidates], rows: npt.NDArray[np.int64]) -> Candidates:
    """Rows of all batches together: `concatenate(batches)[rows]`.

    Only the rows that are kept are copied; most are not.
    """
    starts = np.cumsum([0, *(len(batch.boxes) for batch in batches)])
    batch_of = np.searchsorted(starts, rows, side="right") - 1
    places = zip(batch_of.tolist(), (rows - starts[batch_of]).tolist(), strict=True)
    parts = [batches[0][:0], *(batches[index][row : row + 1] for index, row in places)]
    columns = ([getattr(part, field.name) for part in parts] for field in fields(Candidates))
    return Candidates(*(np.concatenate(column) for column in columns))


def _concatenate(parts: Sequence[npt.NDArray[Any]], empty: tuple[int, ...]) -> Floats:
    """As float32; of no parts, an array of the shape `empty`."""
    return np.concatenate([np.zeros(empty), *parts]).astype(np.float32)
