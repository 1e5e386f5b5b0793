"""The figures of a run as trees of numbers: a short one to compare, and one with all the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskquery.evaluation import bootstrap, breakdown
from maskquery.evaluation.breakdown import ImageResult
from maskquery.evaluation.counts import BASELINES, class_figures, column, iou, mean, tidy

AVERAGED = ("mean_image_iou", "pooled_iou", "precision", "recall", "f1", "boundary_iou")
"""Figures of a class of which the mean over the classes is reported, too."""

Tree = dict[str, Any]


def details(
    results: Sequence[ImageResult], classes: Sequence[str], ceilings: Mapping[str, Any]
) -> Tree:
    """All figures over I images, at least one, as a tree of numbers.

    - overall: the means over the classes that have the figure; false alarms are added up.
    - classes.NAME: `evaluation.class_figures`; boundary_iou: the mean image IoU of the boundaries;
      interval: of mean_image_iou, see `bootstrap`; ceilings and lost: see `attribution`; sizes and
      clutter: see `breakdown`.
    - clutter_up_to: the most objects of an image of each level of clutter.
    - baselines.everything.NAME, baselines.nothing.NAME: the mean_image_iou of that baseline.

    What has no value is left out.

    Args:
        results: of each image.
        classes: names of the C classes.
        ceilings: for each class `masks`, `labels` and `best_threshold`, as far as they are known.
    """
    columns = [column([result.counts for result in results], i) for i in range(len(classes))]
    levels, up_to = breakdown.clutter_of(results)
    own, whole = {}, bootstrap.intervals(columns)
    for index, (name, counts) in enumerate(zip(classes, columns, strict=True)):
        edges = column([result.boundary for result in results], index)
        figures = class_figures(counts)
        own[name] = {
            **figures,
            "boundary_iou": mean(iou(edges)[counts.true > 0]),
            "interval": whole[index],
            **attribution(figures["mean_image_iou"], ceilings.get(name, {})),
            "sizes": breakdown.by_size(results, index),
            "clutter": breakdown.by_clutter(counts, levels),
        }
    return tidy(
        {
            "overall": _overall(list(own.values())) | {"interval": whole[-1]},
            "clutter_up_to": dict(zip(breakdown.CLUTTER, up_to, strict=True)),
            "classes": own,
            "baselines": {
                baseline: {
                    name: class_figures(predict(counts))["mean_image_iou"]
                    for name, counts in zip(classes, columns, strict=True)
                }
                for baseline, predict in BASELINES.items()
            },
        }
    )


def attribution(reached: float, ceilings: Mapping[str, float]) -> Tree:
    """What each part of the pipeline costs a class, so that IoU and losses add up to 1.

    - lost.masks: 1 less the ceiling `masks`: no choice among our masks could do better.
    - lost.labels: from there to `best_threshold`, the IoU at the threshold that is best on these
      very images: what is lost because wrong masks score higher than right ones.
    - lost.threshold: from there to what was reached. Below 0 where thresholds that differ from
      image to image do better than the best single one.

    Args:
        reached: mean_image_iou.
        ceilings: `masks`, `labels` and `best_threshold`, see the stage `ceilings`.
    """
    if "masks" not in ceilings:
        return {}
    best = ceilings["best_threshold"]
    return {
        "ceilings": {key: ceilings[key] for key in ("masks", "labels") if key in ceilings},
        "lost": {
            "masks": 1 - ceilings["masks"],
            "labels": ceilings["masks"] - best,
            "threshold": best - reached,
        },
    }


def _overall(classes: Sequence[Tree]) -> Tree:
    tree: Tree = {key: _mean([each[key] for each in classes]) for key in AVERAGED}
    for key in ("images_absent", "false_alarm_images"):
        tree[key] = sum(each[key] for each in classes)
    for group in ("ceilings", "lost"):
        known = [each[group] for each in classes if group in each]
        names = list(dict.fromkeys(name for each in known for name in each))
        tree[group] = {n: _mean([each[n] for each in known if n in each]) for n in names}
    for group in ("sizes", "clutter"):
        tree[group] = breakdown.over_classes([each[group] for each in classes])
    return tree


def _mean(values: Sequence[float]) -> float:
    return mean(np.array(values, np.float64))


def summary(tree: Tree, first: str) -> Tree:
    """The dozen figures of `details` to look at first; `first` is the class to show by itself."""
    overall = tree["overall"]
    short = {key: overall[key] for key in (*AVERAGED, "false_alarm_images") if key in overall}
    for group in ("ceilings", "lost"):
        if group in overall:
            short[group] = overall[group]
    keys = ("mean_image_iou", "false_alarm_images")
    own = {key: tree["classes"][first][key] for key in keys if key in tree["classes"][first]}
    return {**short, "classes": {first: own}}
