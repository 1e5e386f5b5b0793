"""Masks as packed bits, and the records of one image's masks and predictions.

Letters of shapes: N masks, C classes, H x W pixels, W8 = ceil(W / 8) bytes. A packed
mask is uint8 (..., H, W8): `numpy.packbits` along the width, the padding bits of the last byte 0.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Packed = npt.NDArray[np.uint8]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

DTYPES: dict[str, np.dtype[Any]] = {
    "masks": np.dtype(np.uint8),
    "ids": np.dtype(np.uint64),
    "boxes": np.dtype(np.int32),
    "areas": np.dtype(np.int64),
    "predicted_iou": np.dtype(np.float32),
    "stability_score": np.dtype(np.float32),
    "points": np.dtype(np.float32),
    "scores": np.dtype(np.float32),
}
COLUMN_ARRAYS = ("ids", "boxes", "areas", "predicted_iou", "stability_score", "points")
MASK_ARRAYS = ("masks", *COLUMN_ARRAYS)
PREDICTION_ARRAYS = ("masks", "ids", "scores")
_VECTORS = {"boxes": (4,), "points": (2,)}


@dataclass(frozen=True, kw_only=True)
class MaskColumns:
    """The metadata of one image's N masks, in the generator's order.

    Attributes:
        image: the image's id; empty in the generator's result, as it does not know the id.
        height, width: H and W, pixels.
        ids: (N,) uint64, see `mask_ids`; no two masks of an image are equal.
        boxes: (N, 4) int32, x0, y0, x1, y1 in pixels, half-open, tight.
        areas: (N,) int64, pixels, at least 1.
        predicted_iou: (N,) float32, SAM's own estimate.
        stability_score: (N,) float32, IoU of the mask cut at a higher and at a lower logit.
        points: (N, 2) float32, x, y in pixels, of the point that prompted the mask.
        attributes: further Zarr attributes of the image's group.
    """

    image: str
    height: int
    width: int
    ids: npt.NDArray[np.uint64]
    boxes: npt.NDArray[np.int32]
    areas: npt.NDArray[np.int64]
    predicted_iou: npt.NDArray[np.float32]
    stability_score: npt.NDArray[np.float32]
    points: npt.NDArray[np.float32]
    attributes: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ImageMasks(MaskColumns):
    """The masks of one image: metadata and pixels.

    Attributes:
        masks: (N, H, W8) uint8, packed bits.
    """

    masks: Packed


@dataclass(frozen=True)
class ImagePredictions:
    """The predictions of one image: for each class the union of its selected masks.

    Attributes:
        image: the image's id.
        height, width: H and W, pixels.
        classes: names of the C classes.
        masks: (C, H, W8) uint8, packed bits, a plane for each class.
        mask_count: number of masks of the image.
        chosen: number of selected masks, for each class; K is their sum.
        ids: (K,) uint64, the ids of the selected masks, class by class, highest score first.
        scores: (K,) float32, their scores for the class.
    """

    image: str
    height: int
    width: int
    classes: tuple[str, ...]
    masks: Packed
    mask_count: int
    chosen: tuple[int, ...]
    ids: npt.NDArray[np.uint64]
    scores: npt.NDArray[np.float32]


def pack(masks: npt.NDArray[np.bool_]) -> Packed:
    """Pack masks (..., H, W) bool to (..., H, W8) uint8.

    >>> pack(np.array([[True, False, True]]))  # bits 10100000
    array([[160]], dtype=uint8)
    """
    return np.packbits(masks, axis=-1)


def unpack(masks: Packed, width: int) -> npt.NDArray[np.bool_]:
    """Unpack masks (..., H, W8) uint8 to (..., H, W) bool.

    >>> unpack(np.array([[160]], np.uint8), width=3)
    array([[ True, False,  True]])
    """
    return np.unpackbits(masks, axis=-1, count=width).view(np.bool_)


def image_masks(
    image: str,
    width: int,
    masks: Packed,
    *,
    predicted_iou: npt.ArrayLike,
    stability_score: npt.ArrayLike,
    points: npt.ArrayLike,
    attributes: Mapping[str, Json] | None = None,
) -> ImageMasks:
    """The record of one image's masks. Ids, boxes and areas are computed here.

    Of equal masks the first is kept, and empty masks are dropped.

    >>> masks = np.zeros((3, 4, 10), bool)
    >>> masks[:2, 1:3, 2:7] = True  # the second equals the first, the third is empty
    >>> record = image_masks("a", 10, pack(masks), predicted_iou=[0.9, 0.8, 0.7],
    ...     stability_score=[1, 1, 1], points=[[3, 1], [4, 2], [5, 0]])
    >>> record.boxes.tolist(), record.areas.tolist(), record.predicted_iou.tolist()
    ([[2, 1, 7, 3]], [10], [0.8999999761581421])

    Args:
        image: the image's id.
        width: W, pixels.
        masks: (N, H, W8) uint8, packed bits.
        predicted_iou: (N,).
        stability_score: (N,).
        points: (N, 2), x, y in pixels.
        attributes: extra Zarr attributes of the image's group.
    """
    count = len(masks)
    areas = mask_areas(masks)
    ids = mask_ids(masks)
    first = np.unique(ids, return_index=True)[1]
    keep = np.sort(first[areas[first] > 0])
    masks = np.ascontiguousarray(masks[keep])
    return ImageMasks(
        image=image,
        height=masks.shape[1],
        width=width,
        masks=masks,
        ids=ids[keep],
        boxes=mask_boxes(masks, width),
        areas=areas[keep],
        predicted_iou=np.asarray(predicted_iou, np.float32).reshape(count)[keep],
        stability_score=np.asarray(stability_score, np.float32).reshape(count)[keep],
        points=np.asarray(points, np.float32).reshape(count, 2)[keep],
        attributes=dict(attributes or {}),
    )


def mask_ids(masks: Packed) -> npt.NDArray[np.uint64]:
    """The ids of packed masks (N, H, W8): (N,) uint64, the first 8 bytes of the sha256 of a mask.

    So the id of a mask does not depend on the other masks.
    """
    digests = (hashlib.sha256(mask.tobytes()).digest()[:8] for mask in masks)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def mask_areas(masks: Packed) -> npt.NDArray[np.int64]:
    """The areas of packed masks (..., H, W8): (...) int64, pixels."""
    areas: npt.NDArray[np.int64] = np.bitwise_count(masks).sum(axis=(-2, -1), dtype=np.int64)
    return areas


def mask_boxes(masks: Packed, width: int) -> npt.NDArray[np.int32]:
    """The tight boxes of packed masks (N, H, W8), none empty.

    Returns:
        (N, 4) int32, x0, y0, x1, y1 in pixels, half-open.
    """
    x0, x1 = _ends(unpack(np.bitwise_or.reduce(masks, axis=1), width))
    y0, y1 = _ends(np.bitwise_or.reduce(masks, axis=2) > 0)
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.int32)


def _ends(marks: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First True, and one past the last True, of each row of (N, L) bool; each row has one."""
    return marks.argmax(axis=1), marks.shape[1] - marks[:, ::-1].argmax(axis=1)


def check(record: MaskColumns | ImagePredictions) -> None:
    """Check shapes, dtypes and padding bits of a record.

    Raises:
        ValueError: they are not those that the record's class documents.
    """
    if isinstance(record, ImageMasks | ImagePredictions):
        _check_bits(record)
    if isinstance(record, MaskColumns):
        count = len(record.masks if isinstance(record, ImageMasks) else record.ids)
        if len(np.unique(record.ids)) != count:
            raise ValueError(f"{record.image}: two masks have one id; make them with image_masks")
        expected = {name: (count, *_VECTORS.get(name, ())) for name in COLUMN_ARRAYS}
    else:
        for what, count in (("planes", len(record.masks)), ("counts", len(record.chosen))):
            if count != len(record.classes):
                raise ValueError(
                    f"{record.image}: {count} {what} for {len(record.classes)} classes"
                )
        expected = dict.fromkeys(("ids", "scores"), (sum(record.chosen),))
    for name, shape in expected.items():
        array = getattr(record, name)
        if array.shape != shape or array.dtype != DTYPES[name]:
            raise ValueError(
                f"{record.image}: {name} is {array.dtype} {array.shape}, not {DTYPES[name]} {shape}"
            )


def _check_bits(record: ImageMasks | ImagePredictions) -> None:
    masks, height, width = record.masks, record.height, record.width
    if min(height, width) < 1 or masks.shape != (len(masks), height, -(-width // 8)):
        size = f"{width} x {height} pixels"
        raise ValueError(f"{record.image}: masks of shape {masks.shape} for {size}")
    if masks.dtype != DTYPES["masks"]:
        raise ValueError(f"{record.image}: masks is {masks.dtype}, not {DTYPES['masks']}")
    if width % 8 and np.any(masks[..., -1] & (0xFF >> width % 8)):
        raise ValueError(f"{record.image}: bits beyond the width of {width} pixels are set")


def union(masks: Packed, selected: npt.NDArray[np.bool_]) -> Packed:
    """The union of the selected masks; of none it is empty.

    Args:
        masks: (N, H, W8) uint8, packed bits.
        selected: (N,) bool.

    Returns:
        (H, W8) uint8, packed bits.
    """
    pixels: Packed = np.bitwise_or.reduce(masks[selected], axis=0)
    return pixels
