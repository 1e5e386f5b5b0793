"""The figures of a run as trees of numbers: a short one to compare, and one with all the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskquery.evaluation import bootstrap, breakdown, presence, semantic
from maskquery.evaluation.breakdown import ImageResult
from maskquery.evaluation.counts import BASELINES, Counts, class_figures, column, iou, mean, tidy

AVERAGED = ("mean_image_iou", "pooled_iou", "precision", "recall", "f1", "boundary_iou")
"""Figures of a class of which the mean over the classes is reported, too."""

Tree = dict[str, Any]


def details(
    results: Sequence[ImageResult],
    classes: Sequence[str],
    oracle: Mapping[str, Any],
    confusion: Counts,
) -> Tree:
    """All figures over I images, at least one, as a tree of numbers.

    - overall: the means over the classes that have the figure; false positive images are added up;
      `semantic.figures`, of all classes together.
    - classes.NAME: `evaluation.class_figures`; boundary_iou: the mean image IoU of the boundaries;
      interval: of mean_image_iou, see `bootstrap`; presence: see there; oracle and iou_gap: see
      `attribution`; sizes and clutter: see `breakdown`.
    - clutter_up_to: the most objects of an image of each level of clutter.
    - baselines.predict_all.NAME, baselines.predict_none.NAME: the mean_image_iou of that baseline.

    What has no value is left out.

    Args:
        results: of each image.
        classes: names of the C classes.
        oracle: for each class `labels`, `masks`, `threshold` and `auroc`, as far as they are known.
        confusion: (C + 1, C + 1), see `semantic.confusion`; without a pixel where there is none.
    """
    columns = [column([result.counts for result in results], i) for i in range(len(classes))]
    levels, up_to = breakdown.clutter_of(results)
    by_class, whole = {}, bootstrap.intervals(columns)
    for index, (name, counts) in enumerate(zip(classes, columns, strict=True)):
        edges = column([result.boundary for result in results], index)
        figures = class_figures(counts)
        by_class[name] = {
            **figures,
            "boundary_iou": mean(iou(edges)[counts.true > 0]),
            "interval": whole[index],
            "presence": {
                **presence.figures(counts),
                "auroc": oracle.get(name, {}).get("auroc", float("nan")),
            },
            **attribution(figures["mean_image_iou"], oracle.get(name, {})),
            "sizes": breakdown.by_size(results, index),
            "clutter": breakdown.by_clutter(counts, levels),
        }
    return tidy(
        {
            "overall": {
                **_overall(list(by_class.values())),
                **semantic.figures(confusion),
                "interval": whole[-1],
            },
            "clutter_up_to": dict(zip(breakdown.CLUTTER, up_to, strict=True)),
            "classes": by_class,
            "baselines": {
                baseline: {
                    name: class_figures(predict(counts))["mean_image_iou"]
                    for name, counts in zip(classes, columns, strict=True)
                }
                for baseline, predict in BASELINES.items()
            },
        }
    )


def attribution(reached: float, oracle: Mapping[str, float]) -> Tree:
    """What each part of the pipeline costs a class, so that IoU and losses add up to 1.

    - iou_gap.segmentation: 1 less oracle.labels: no choice among SAM's masks could do better.
    - iou_gap.classification: from there to the IoU at the threshold that is best on these very
      images: wrong masks score higher than right ones.
    - iou_gap.threshold: from there to what was reached. Below 0 where thresholds that differ from
      image to image do better than the best single one.

    Args:
        reached: mean_image_iou.
        oracle: `labels`, `masks` and `threshold`, see the stage `oracle`.
    """
    if "labels" not in oracle:
        return {}
    best = oracle["threshold"]
    return {
        "oracle": {key: oracle[key] for key in ("labels", "masks") if key in oracle},
        "iou_gap": {
            "segmentation": 1 - oracle["labels"],
            "classification": oracle["labels"] - best,
            "threshold": best - reached,
        },
    }


def _overall(classes: Sequence[Tree]) -> Tree:
    tree: Tree = {key: _mean([each[key] for each in classes]) for key in AVERAGED}
    for key in ("images_without_class", "false_positive_images"):
        tree[key] = sum(each[key] for each in classes)
    for group in ("presence", "oracle", "iou_gap"):
        parts = [each[group] for each in classes if group in each]
        names = list(dict.fromkeys(name for each in parts for name in each))
        tree[group] = {n: _mean([each[n] for each in parts if n in each]) for n in names}
    for group in ("sizes", "clutter"):
        tree[group] = breakdown.over_classes([each[group] for each in classes])
    return tree


def _mean(values: Sequence[float]) -> float:
    return mean(np.array(values, np.float64))


def summary(tree: Tree, first: str) -> Tree:
    """The dozen figures of `details` to look at first; `first` is the class to show by itself."""
    overall = tree["overall"]
    keys = ("miou", *AVERAGED, "false_positive_images")
    short = {key: overall[key] for key in keys if key in overall}
    for group in ("oracle", "iou_gap"):
        if group in overall:
            short[group] = overall[group]
    of_class = ("mean_image_iou", "false_positive_images")
    by_class = {
        key: tree["classes"][first][key] for key in of_class if key in tree["classes"][first]
    }
    return {**short, "classes": {first: by_class}}
