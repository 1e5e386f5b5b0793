"""The metrics of each class as a table, below their means: what `make repro` prints at its end."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskquery.core.arguments import Parser
from maskquery.core.errors import UserError, printable

DETAILS = Path("metrics/details.json")

_RATIOS = {
    "mean_image_iou": "mean image IoU",
    "pooled_iou": "pooled IoU",
    "precision": "precision",
    "recall": "recall",
    "boundary_iou": "boundary IoU",
}
"""Keys of details.json, and the titles of their columns."""


def main(arguments: Sequence[str]) -> str:
    """The table, and where the rest is."""
    Parser("metrics", __doc__).parse_args(arguments)
    try:
        tree = json.loads(DETAILS.read_text(encoding="utf-8"))
        classes, overall = tree["classes"], tree.get("overall", {})
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{DETAILS} cannot be read", "run `dvc repro`") from None
    return f"{table(classes, overall)}\n\nAll metrics: {DETAILS}; what they are: docs/metrics.md"


def table(classes: Mapping[str, Mapping[str, Any]], overall: Mapping[str, Any]) -> str:
    """A row of means over the classes, if there is ground truth, and a row for each class."""
    import pandas as pd

    rows = {f"mean of {len(classes)} classes": _row(overall)} if overall else {}
    rows |= {printable(name): _row(metrics) for name, metrics in classes.items()}
    return str(pd.DataFrame.from_dict(rows, orient="index", dtype=object).to_string())


def _row(metrics: Mapping[str, Any]) -> dict[str, str]:
    row = {}
    for key, title in _RATIOS.items():
        row[title] = f"{metrics[key]:.3f}" if key in metrics else "-"
        if key == "mean_image_iou":
            interval = metrics.get("interval")
            text = f"{interval['low']:.2f} to {interval['high']:.2f}" if interval else "-"
            row["95 % interval"] = text
    wrong, absent = (metrics.get(k) for k in ("false_positive_images", "images_without_class"))
    row["false positive images"] = "-" if wrong is None else f"{wrong} of {absent}"
    return row
