"""What the explorer shows: the pipeline's files, read only, by image and mask id.

A request names an image by its id, which is looked up among the known ones: no path is ever
made of what a request says.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pydantic

from maskquery.core.errors import UserError
from maskquery.evaluation import curves, ground_truth, splits
from maskquery.explore import pictures, reasons, regions, requests, scores, vectors
from maskquery.explore.pictures import Pixels
from maskquery.explore.reasons import Reasons
from maskquery.explore.scores import Settings
from maskquery.explore.settings import Files, Params
from maskquery.images import image_files, sources
from maskquery.masks.mask_store import MaskStore
from maskquery.masks.packed import ImageMasks, Packed, unpack
from maskquery.scoring import class_embeddings, provenance
from maskquery.scoring.similarity import Floats
from maskquery.selection import rules
from maskquery.selection.rules import Bools
from maskquery.selection.thresholds import COMMON, Threshold
from maskquery.tables import score_table

SAMPLE = 20_000
"""Masks, of all images, that tell over which range scores spread."""


@dataclass(frozen=True)
class Scored:
    """An image's N masks, in the order in which the store has them.

    Attributes:
        score: (N, C) float32, what a threshold is compared with; see `Settings.columns`.
        left_out: (N, C) uint8, why a mask may not stand for a column, 0 if it may; see
            `maskquery.explore.reasons`.
        cosines: (N, P) float32, of `Settings.prompts`.
    """

    score: Floats
    left_out: Reasons
    cosines: Floats

    @property
    def eligible(self) -> Bools:
        """Which masks may stand for which column, (N, C) bool."""
        result: Bools = self.left_out == 0
        return result


@dataclass(frozen=True)
class Hit:
    """A mask that a search found."""

    image: str
    mask_id: int
    similarity: float


class Workspace:
    """The pipeline's images, masks, embeddings and ground truth.

    Attributes:
        settings: what params.yaml says.
        start: the page's settings to begin with: params.yaml's.
        thresholds: the pipeline's threshold of each class, where it is a number that holds for all
            images.
        text_threshold: the one that `find` takes for a text, where it is a number.
        vectors: all masks' embeddings.
    """

    def __init__(self, files: Files, settings: Params) -> None:
        """Look up what there is, and fold the embeddings if they are new.

        Raises:
            UserError: a file is missing or damaged, or they do not fit each other.
        """
        self.settings, self._files, self._stamps = settings, files, sources.stamps(vars(files))
        self._paths = image_files.find(settings.images)
        self._store, self._lock = MaskStore(files.masks), threading.Lock()
        missing = set(self._store.images()) - set(self._paths)
        if missing:
            raise UserError(f"{settings.images} has no image {min(missing)!r}", "run `dvc repro`")
        clip = provenance.read(files.embeddings)["clip"]
        self._model, views = clip["model"], tuple(clip["views"])
        weights = class_embeddings.in_order(settings.scores.view_weights, views)
        self.vectors = vectors.load(files.embeddings, views, weights)
        self.thresholds = settings.threshold.by_class(files.thresholds, tuple(settings.classes))
        self.text_threshold = _text_threshold(settings.threshold, files.thresholds)
        self.start = _start(settings)
        truth = settings.ground_truth
        self._truth = ground_truth.pair(self.images, truth.folder, truth.pattern)
        self.pixels = lru_cache(maxsize=8)(self._pixels)
        self.masks = lru_cache(maxsize=2)(self._masks)  # hundreds of megabytes for a photo
        self._kept_spread = lru_cache(maxsize=32)(self._spread)
        self._scores_kept = lru_cache(maxsize=256)(self._score_image)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.close()

    @property
    def images(self) -> list[str]:
        """The ids of all images that went through the pipeline, sorted."""
        return self._store.images()

    @property
    def measured(self) -> list[str]:
        """The classes that there is ground truth of; none without any."""
        labels = self.settings.ground_truth.labels
        return [name for name in self.settings.classes if self._truth and name in labels]

    def stale(self) -> bool:
        """Whether one of the files is another than when this object was made."""
        return sources.stamps(vars(self._files)) != self._stamps

    def test_split(self) -> set[str]:
        """The images that the pipeline's metrics are of."""
        return set(splits.test_split(self.images, self.settings.calibration))

    def path(self, image: str) -> sources.File:
        """An image's file.

        Raises:
            UserError: there is no such image.
        """
        if image not in self._paths:
            raise UserError(f"there is no image {image!r}")
        return self._paths[image]

    def _pixels(self, image: str) -> Pixels:
        return image_files.read(self.path(image), self.settings.max_pixels)

    def crop(self, image: str, mask_id: int) -> bytes:
        """A picture of a mask, as a JPEG file.

        Raises:
            UserError: there is no such mask.
        """
        with self._lock:
            columns = self._store.columns(image)
        (rows,) = np.nonzero(columns.ids == np.uint64(mask_id))
        if not len(rows):
            raise UserError(f"image {image!r} has no mask {mask_id}")
        with self._lock:
            mask = self._store.read(image).masks[rows[0]]
        x0, y0, x1, y1 = columns.boxes[rows[0]].tolist()
        return pictures.crop(self.pixels(image), unpack(mask, columns.width), (x0, y0, x1, y1))

    def _masks(self, image: str) -> tuple[ImageMasks, Packed]:
        """An image's masks, and as predictions are made of them: (N, H, W8) packed bits."""
        with self._lock:
            group = self._store.read(image)
        return group, rules.refine(group, slice(None), self.settings.selection)

    def regions(self, image: str) -> regions.Regions:
        """The image cut up by its masks and then by the `measured` classes, in this order.

        The masks are those that `selection` refines, of which predictions are made.
        """
        group, masks = self.masks(image)
        if not self.measured:
            return regions.cut(masks, group.width)
        true = self._true(image, self.measured, group.height, group.width).classes
        return regions.cut(np.concatenate([masks, true]), group.width)

    def true(self, image: str, name: str, height: int, width: int) -> Packed:
        """The pixels of a class in the ground truth, (H, W8) packed bits."""
        plane: Packed = self._true(image, [name], height, width).classes[0]
        return plane

    def _true(
        self, image: str, classes: Sequence[str], height: int, width: int
    ) -> ground_truth.TruePlanes:
        truth = self.settings.ground_truth
        return ground_truth.true_planes(self._truth[image], truth, classes, image, height, width)

    def score(self, image: str, settings: Settings) -> Scored:
        """The scores of an image's masks.

        Those of the classes are the same with and without a text.
        """
        return self._scores_kept(image, settings.model_dump_json())

    def _score_image(self, image: str, asked: str) -> Scored:
        settings, (group, _) = Settings.model_validate_json(asked), self.masks(image)
        rows = self.vectors.rows(image)
        ids, means = self.vectors.ids[rows], np.array(self.vectors.means[rows])
        places, back = score_table.locate(group.ids, ids), score_table.locate(ids, group.ids)
        if places is None or back is None:
            raise UserError(f"masks and embeddings of image {image!r} differ", "run `dvc repro`")

        # In the order of the embeddings, from which the stage's product comes to the bit.
        trust = (group.predicted_iou[back], group.stability_score[back])
        score = scores.of_classes(self._model, means, *trust, settings)[places]
        left_out = reasons.left_out(group, score, self.settings.selection)
        if settings.text:
            lines = scores.of_lines(self._model, means, *trust, settings)[places]
            text, why = self._text_column(group, lines)
            score = np.concatenate([score, text], axis=1)
            left_out = np.concatenate([left_out, why], axis=1)
        return Scored(score, left_out, self._cosines(means, settings)[places])

    def _text_column(self, group: ImageMasks, lines: Floats) -> tuple[Floats, Reasons]:
        """A text's lines as one column, (N, 1): a mask counts with its best line.

        Lines do not exclude each other, as in `find`. A line for which the mask is left out counts
        only if it is left out for all.
        """
        alone = self.settings.selection.model_copy(update={"exclusive": "none"})
        why = reasons.left_out(group, lines, alone)
        out = (why > 0).all(axis=1, keepdims=True)
        best = np.where((why == 0) | out, lines, -np.inf).argmax(axis=1)[:, None]
        return np.take_along_axis(lines, best, axis=1), np.take_along_axis(why, best, axis=1)

    def _cosines(self, means: Floats, settings: Settings) -> Floats:
        """(N, P): classes' prompts in their templates, lines of a text as they are."""
        first, every = settings.class_prompts, settings.prompts
        templates = settings.scores.templates
        parts = [scores.cosines(self._model, means, first, templates)]
        if more := every[len(first) :]:
            parts.append(scores.cosines(self._model, means, more, ("{}",)))
        return np.concatenate(parts, axis=1)

    def adaptive(self, scored: Scored) -> Floats | None:
        """The threshold of each column in an image, if the pipeline's rule looks at each image."""
        threshold = self.settings.threshold
        return threshold.of_image(scored.score) if threshold.is_adaptive else None

    def spread(self, settings: Settings) -> list[tuple[float, float]]:
        """The lowest and the highest score of each column, over a sample of all masks."""
        return self._kept_spread(settings.model_dump_json())

    def _spread(self, asked: str) -> list[tuple[float, float]]:
        settings = Settings.model_validate_json(asked)
        step = max(1, len(self.vectors.ids) // SAMPLE)
        means = np.array(self.vectors.means[::step])
        trusted = np.ones(len(means), np.float32)
        score = scores.of_classes(self._model, means, trusted, trusted, settings)
        if settings.text:
            lines = scores.of_lines(self._model, means, trusted, trusted, settings)
            score = np.concatenate([score, lines.max(axis=1, keepdims=True)], axis=1)
        if not len(score):
            return [(0.0, 1.0)] * score.shape[1]
        ends = zip(score.min(axis=0).tolist(), score.max(axis=0).tolist(), strict=True)
        return list(ends)

    def curve(self, image: str, column: int, settings: Settings) -> curves.ImageCurve:
        """What every threshold would give in an image.

        Args:
            image: its id.
            column: of the scores, see `Settings.columns`.
            settings: how scores are made.
        """
        scored, (group, masks) = self.score(image, settings), self.masks(image)
        chosen = masks[scored.eligible[:, column]]
        names = list(settings.classes)
        name = names[column] if column < len(names) else None
        true = np.zeros(masks.shape[1:], np.uint8)
        if name in self.measured:
            truth = self._true(image, [str(name)], group.height, group.width)
            chosen, true = truth.without_void(chosen), truth.classes[0]
        return curves.image_curve(chosen, scored.score[scored.eligible[:, column], column], true)

    def like_text(self, text: str, count: int) -> list[Hit]:
        """The masks of all images that are most similar to a text, from the most similar on."""
        (vector,) = scores.encode(self._model, (text,), self.settings.scores.templates)
        return self._hits(self.vectors.like_text(vector, count))

    def like_mask(self, image: str, mask_id: int, count: int) -> list[Hit]:
        """The masks that are most similar to a mask, which itself comes first.

        Raises:
            UserError: there is no such mask.
        """
        rows = self.vectors.rows(image)
        (places,) = np.nonzero(self.vectors.ids[rows] == np.uint64(mask_id))
        if not len(places):
            raise UserError(f"image {image!r} has no mask {mask_id}")
        return self._hits(self.vectors.like_mask(rows.start + int(places[0]), count))

    def _hits(self, rows: Sequence[tuple[int, float]]) -> list[Hit]:
        return [Hit(*self.vectors.name(row), similarity) for row, similarity in rows]


def _start(settings: Params) -> Settings:
    try:
        return Settings(classes=settings.classes, text=(), scores=settings.scores)
    except pydantic.ValidationError as error:
        problem = requests.sentence(error.errors(include_url=False))
        raise UserError(f"params.yaml is more than the explorer shows: {problem}") from None


def _text_threshold(threshold: Threshold, known: Path) -> float | None:
    """The threshold that `find` takes for a text; none if it has none, or one for each image."""
    rule = Threshold(COMMON) if threshold.is_from_file else threshold
    return rule.by_class(known, [_TEXT]).get(_TEXT)


_TEXT = "text"
