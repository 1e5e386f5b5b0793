"""What each step towards the default params is worth, on the test split: docs/ablation.md.

    python -m benchmarks.ablation
    python -m benchmarks.ablation --images other/images --truth other/labels --out other

Every row runs the pipeline's own stages, on the same masks and models; only params differ. All
thresholds come from the calibration split, whatever the weights, so nothing is tuned by hand here.
"Report" is presets/report.yaml. Images of another folder than that of params.yaml are reported on
with the thresholds of params.yaml's: they are the test split, and its calibration split stays.
"""

import argparse
import copy
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import measuring
from maskquery import presets
from maskquery.core import files, params
from maskquery.evaluation import ground_truth, splits
from maskquery.evaluation.counts import ConfusionCounts, agreement, class_figures
from maskquery.jobs import cache
from maskquery.masks import mask_store
from stages import calibration, embeddings, masks, metrics, predictions, scores

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "ablation.md"
CHAIR = "chair"

Keys = Mapping[str, Any]

PADDED = {"clip": {"crop_shape": "pad"}}
GROWN = {"clip": {"views": ["crop"], "crop_padding": 0.1}, "scores": {"view_weights": {"crop": 1}}}


@dataclass(frozen=True)
class Row:
    """A set of params, and its figures on the test split.

    Attributes:
        name: what is special about it.
        mean_iou: mean over the classes of mean_image_iou.
        chair_iou: the chair's, or None.
        false_positive_images: images without a class in which it is predicted, over all classes.
        absent: images without a class, over all classes.
        classes: mean_image_iou of each class.
    """

    name: str
    mean_iou: float
    chair_iou: float | None
    false_positive_images: int
    absent: int
    classes: Mapping[str, float]


def steps(default: Keys) -> Iterator[tuple[str, Keys]]:
    """What is changed in turn from the report to the default, the keys as in params.yaml."""
    defaults = {section: dict(default[section]) for section in ("clip", "scores", "selection")}

    def some(section: str, *names: str) -> dict[str, Any]:
        return {section: {name: defaults[section][name] for name in names}}

    yield "the whole box, padded to a square", PADDED
    yield "box grown by a tenth", GROWN
    yield "a threshold for each class", {"threshold": default["threshold"]}
    yield (
        "softmax with negative prompts",
        some("scores", "scoring", "negative_prompts", "temperature"),
    )
    yield "quality of the mask", some("scores", "quality")
    yield "synonyms and templates", some("scores", "prompts", "templates")
    views = {**some("clip", "views"), **some("scores", "view_weights")}
    yield f"views: {', '.join(defaults['clip']['views'])}", views
    yield "mirrored crops", some("clip", "mirrored")
    yield "parts preferred to wholes", some("selection", "part_share")
    yield "duplicates left out", some("selection", "duplicate_iou")
    yield "a mask to its best class alone", some("selection", "exclusive")
    yield "cost of false positives", {"false_positive_cost": default["false_positive_cost"]}
    shrinkage = {"threshold_shrinkage": default["threshold_shrinkage"]}
    yield "thresholds moved towards the common one (default)", shrinkage


def without(report: Keys) -> Iterator[tuple[str, Keys]]:
    """What is taken back from the default, one at a time."""
    scoring = ("scoring", "negative_prompts", "temperature")
    yield "one threshold for all classes", {"threshold": "common"}
    yield "cosine", {"scores": {key: report["scores"][key] for key in scoring}}
    yield "no quality", {"scores": {"quality": 0.0}}
    yield "first prompt alone", {"scores": {"prompts": "first", "templates": ["{}"]}}
    yield "crop alone", {"clip": {"views": ["crop"]}, "scores": {"view_weights": {"crop": 1}}}
    yield "not mirrored", {"clip": {"mirrored": False}}
    yield "wholes kept", {"selection": {"part_share": 1.0}}
    yield "duplicates kept", {"selection": {"duplicate_iou": 1.0}}
    yield "a mask to several classes", {"selection": {"exclusive": "none"}}
    yield "false positives cost nothing", {"false_positive_cost": 0.0}
    yield "thresholds not moved towards the common one", {"threshold_shrinkage": 0.0}


def others() -> Iterator[tuple[str, Keys]]:
    """What was tried and is not in the default."""
    for rule in ("otsu", "largest_gap"):
        yield f"threshold: {rule}", {"threshold": rule}
    yield "scoring: relevancy", {"scores": {"scoring": "relevancy", "temperature": 0.1}}
    yield "prompts: best", {"scores": {"prompts": "best"}}
    for views in (["crop", "masked"], ["crop", "black"], ["crop", "blurred", "masked", "plain"]):
        weights = dict.fromkeys(views, 1)
        yield (
            f"views: {', '.join(views)}",
            {"clip": {"views": views}, "scores": {"view_weights": weights}},
        )
    yield "clip.clahe: 2", {"clip": {"clahe": 2.0}}
    tried = {
        "min_area": 0.002,
        "max_area": 0.5,
        "at_border": False,
        "min_region": 0.05,
    }
    for key, value in tried.items():
        yield f"selection.{key}: {value}".replace("False", "false"), {"selection": {key: value}}
    yield "selection.exclusive: pixels", {"selection": {"exclusive": "pixels"}}


class Bench:
    """Runs stages into a folder, each once for the params that it depends on.

    Args:
        folder: where the files go.
        own: the images that the thresholds come from: the folder of params.yaml.
        other: images and ground truth to report on in place of the test split of `own`.
    """

    def __init__(self, folder: Path, other: tuple[Path, Path] | None) -> None:
        self._folder, self._other = folder, other
        self._true: dict[str, Any] = {}

    def measure(self, name: str, document: Keys) -> Row:
        """The figures of one set of params."""
        thresholds = self._thresholds(document)
        if self._other:
            images, truth = map(str, self._other)
            truth_section = {"folder": truth}
            document = with_keys(
                document, {"images": images, "ground_truth": truth_section, "calibration": []}
            )
        read = self._reader(document)
        store = self._folder / "predictions.zarr"
        settings = read(predictions)
        predictions.run(self._masks(document), self._scores(document), thresholds, store, settings)
        return self._figures(name, store, read(metrics))

    def _figures(self, name: str, path: Path, settings: metrics.Params) -> Row:
        truth = settings.ground_truth
        with mask_store.PredictionStore(path) as store:
            images = splits.test_split(store.images(), settings.calibration)
            maps = ground_truth.pair(images, truth.folder, truth.pattern)
            counts: list[ConfusionCounts] = []
            for image in images:
                prediction = store.read(image)
                if image not in self._true:
                    self._true[image] = ground_truth.true_planes(
                        maps[image],
                        truth,
                        prediction.classes,
                        image,
                        prediction.height,
                        prediction.width,
                    )
                true = self._true[image]
                counts.append(
                    agreement(
                        true.without_void(prediction.masks),
                        true.classes,
                        true.pixels(prediction.width),
                    )
                )
        figures = {
            each: class_figures(
                ConfusionCounts(
                    *(np.array([vars(c)[key][i] for c in counts]) for key in vars(counts[0]))
                )
            )
            for i, each in enumerate(prediction.classes)
        }
        iou = {each: float(row["mean_image_iou"]) for each, row in figures.items()}
        return Row(
            name=name,
            mean_iou=float(np.nanmean(list(iou.values()))),
            chair_iou=iou.get(CHAIR),
            false_positive_images=sum(
                int(row["false_positive_images"]) for row in figures.values()
            ),
            absent=sum(int(row["images_without_class"]) for row in figures.values()),
            classes={each: value for each, value in iou.items() if not np.isnan(value)},
        )

    def _thresholds(self, document: Keys) -> Path:
        path = self._path(document, "thresholds", scores, calibration, suffix=".json")
        if not path.exists():
            settings = self._reader(document)(calibration)
            calibration.run(self._masks(document), self._scores(document), path, settings)
        return path

    def _masks(self, document: Keys) -> Path:
        path = self._path(document, "masks", masks, suffix=".zarr")
        if not path.exists():
            masks.run(path, self._folder / "failures.json", self._reader(document)(masks))
        return path

    def _scores(self, document: Keys) -> Path:
        path = self._path(document, "scores", masks, embeddings, scores, suffix=".parquet")
        if not path.exists():
            read = self._reader(document)
            table = self._path(document, "embeddings", masks, embeddings, suffix=".parquet")
            if not table.exists():
                embeddings.run(self._masks(document), table, read(embeddings))
            scores.run(table, path, read(scores))
        return path

    def _path(self, document: Keys, kind: str, *stages: Any, suffix: str) -> Path:
        """A file's name, from all params that decide what is in it."""
        deciding = {embeddings: (masks,), scores: (masks, embeddings)}
        every = {each for stage in stages for each in (stage, *deciding.get(stage, ()))}
        keys = sorted({key for stage in every for key in params.keys(stage.Params)})
        name = cache.key([kind, {key: document[key] for key in keys}])
        return self._folder / f"{kind}-{name[:12]}{suffix}"

    def _reader(self, document: Keys) -> Any:
        path = self._folder / "params.yaml"
        path.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
        return lambda stage: params.load(stage.Params, path)


def with_keys(document: Keys, keys: Keys) -> dict[str, Any]:
    """A params.yaml's contents with keys put in its place."""
    result = copy.deepcopy(dict(document))
    presets.apply(result, copy.deepcopy(dict(keys)))
    return result


def sections(default: Keys) -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """The tables: their headings, and the names and params of their rows."""
    report = with_keys(default, presets.read("report"))
    rows, document = [("report", report)], report
    for name, keys in steps(default):
        document = with_keys(document, keys)
        rows.append((f"+ {name}", document))
    yield "From the report to the default, one step after the other", rows
    less = [(name, with_keys(default, keys)) for name, keys in without(report)]
    yield "The default with one step taken back", [("default", dict(default)), *less]
    yield "The default with something else", [(name, with_keys(default, k)) for name, k in others()]


def table(rows: Sequence[Row], against: Row | None) -> str:
    """Markdown; differences are those from `against`, or from the row before."""
    lines = [
        "| params | mean IoU | change | chair IoU | change | false positive images |",
        "|---|---|---|---|---|---|",
    ]
    before = against
    for row in rows:
        cells = [row.name]
        for key in ("mean_iou", "chair_iou"):
            value, old = getattr(row, key), getattr(before, key) if before else None
            cells.append("-" if value is None else f"{value:.3f}")
            cells.append("" if value is None or old is None else f"{value - old:+.3f}")
        cells.append(f"{row.false_positive_images} of {row.absent}")
        lines.append(f"| {' | '.join(cells)} |")
        before = against or row
    return "\n".join(lines)


def text_of(tables: Mapping[str, Sequence[Row]], images: str, bar: str) -> str:
    """docs/ablation.md."""
    default = next(iter(list(tables.values())[1]))
    command = shlex.join(["python", "-m", "benchmarks.ablation", *sys.argv[1:]])
    parts = [
        "# What each step is worth",
        f"Measured by `{command}` on {images}; figures of single images and "
        "classes are noisy, and a step that helps here may not help elsewhere. Every row has the "
        "same masks and models; all thresholds come from the calibration split alone. Mean IoU is "
        "the mean over the classes of the mean over the images that show it; false positive "
        "images are those without a class in which it is predicted, over all classes. `report` is "
        "the course report's method to the letter (`maskquery/presets/report.yaml`). The default "
        "was chosen on the calibration split.",
        bar,
    ]
    for heading, rows in tables.items():
        against = None if rows[0].name == "report" else default
        parts += [f"## {heading}", table(rows, against)]
    return "\n\n".join(parts) + "\n"


def bar_of(report: Row, default: Row) -> str:
    """The default against the report, in a sentence."""
    chairs = ""
    if report.chair_iou is not None and default.chair_iou is not None:
        chairs = f"chair IoU {default.chair_iou - report.chair_iou:+.3f}, "
    share = default.false_positive_images / max(1, report.false_positive_images)
    return (
        f"Default against report: mean IoU {default.mean_iou:.3f} / {report.mean_iou:.3f} = "
        f"**{default.mean_iou / report.mean_iou:.2f}** times, {chairs}false positive images "
        f"{default.false_positive_images} / {report.false_positive_images} = {share:.2f} times."
    )


def measure_rows(bench: Bench, default: Keys, short: bool) -> dict[str, list[Row]]:
    """The rows of each table; the report and the default alone if `short`."""
    tables: dict[str, list[Row]] = {}
    for heading, rows in sections(default):
        for name, document in rows:
            if short and name not in ("report", "default"):
                continue
            row = bench.measure(name, document)
            chair = "" if row.chair_iou is None else f"chair {row.chair_iou:.4f}  "
            print(f"{name:40s} {row.mean_iou:.4f}  {chair}{row.false_positive_images}", flush=True)
            tables.setdefault(heading, []).append(row)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--images", type=Path, help="a folder of other images to report on")
    add("--truth", type=Path, help="the folder of their ground truth")
    add("--out", type=Path, help="a folder for ablation.md and ablation.json")
    add("--short", action="store_true", help="the report and the default alone")
    chosen = parser.parse_args()
    if bool(chosen.images) != bool(chosen.truth):
        parser.error("--images and --truth belong together")
    if chosen.images and not (chosen.out or chosen.short):
        parser.error("--images needs --out: docs/ablation.md is about the demo's rooms")
    os.environ.setdefault("MASKQUERY_CACHE", str(cache.root().absolute()))
    default = yaml.safe_load(params.PARAMS_FILE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        other = (chosen.images, chosen.truth) if chosen.images else None
        tables = measure_rows(Bench(Path(folder), other), default, chosen.short)
    report, default_row = (rows[0] for rows in list(tables.values())[:2])
    bar = bar_of(report, default_row)
    print(bar)
    if chosen.short:
        return
    text, results = DOCUMENT, measuring.RESULTS / "ablation.json"
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        text, results = chosen.out / "ablation.md", chosen.out / "ablation.json"
    images = str(chosen.images) if chosen.images else "the test split of `data/rooms`"
    text.write_text(text_of(tables, images, bar), encoding="utf-8")
    tree = {heading: [asdict(row) for row in rows] for heading, rows in tables.items()}
    files.write_json(results, tree)


if __name__ == "__main__":
    main()
