"""What the docs take from the code and from metrics/: a hook of mkdocs, and a command.

    python docs/generated.py parameters     # the keys of params.yaml, as the site shows them
    python docs/generated.py demo           # the results of all classes
    python docs/generated.py readme         # the rows of the README's table

mkdocs calls `on_page_markdown`, which puts these texts in place of `<!-- generated: NAME -->`.
"""

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import stages  # noqa: E402 - now: mkdocs takes ROOT from the path once this file is loaded
from maskquery.core import yaml_text  # noqa: E402
from maskquery.core.params import Section  # noqa: E402
from maskquery.review import changes  # noqa: E402
from maskquery.selection import thresholds  # noqa: E402

MARKER = re.compile(r"<!-- generated: (\w+) -->")
LONGEST_VALUE = 60  # characters; longer values are left to params.yaml


@dataclass(frozen=True)
class Key:
    """A key of params.yaml that a model declares.

    Attributes:
        name: with dots between its parts, "sam.model".
        allowed: its type and range.
        description: from the docstring of the class that declares it, or from its field.
    """

    name: str
    allowed: str
    description: str


def declared() -> dict[str, Key]:
    """All keys that the stages and the review declare, each once, in the order of dvc.yaml."""
    models = [importlib.import_module(f"{stages.__name__}.{stage}").Params for stage in dag()]
    result: dict[str, Key] = {}
    for model in [*models, changes.Params]:
        for key in keys_of(model):
            if key.description or key.name not in result:
                result.setdefault(key.name, key)
                if not result[key.name].description:
                    result[key.name] = key
    return result


def keys_of(model: type[Section], prefix: str = "") -> Iterator[Key]:
    """The keys that a model declares, those of sections in it with dots."""
    texts = descriptions(model)
    for field, info in model.model_fields.items():
        name = f"{prefix}{info.alias or field}"
        kind = info.annotation
        if inspect.isclass(kind) and issubclass(kind, Section):
            yield from keys_of(kind, f"{name}.")
        else:
            text = info.description or texts.get(field, "")
            yield Key(name, allowed(kind, info.metadata), text)


def descriptions(model: type[Section]) -> dict[str, str]:
    """The texts under `Attributes:` in the docstrings of a model and of those that it extends."""
    result: dict[str, str] = {}
    for each in model.__mro__:
        if not issubclass(each, Section) or each is Section:
            continue
        _, _, attributes = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        entries = re.split(r"^ {4}(?=\w)", attributes, flags=re.MULTILINE)[1:]
        for entry in entries:
            names, _, text = entry.partition(": ")
            for name in names.split(", "):
                result.setdefault(name, " ".join(text.split()))
    return result


def allowed(kind: Any, metadata: list[Any]) -> str:
    """A type and its range in words."""
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        return allowed(kind, [*inner, *metadata])
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {_several(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        names, values = get_args(kind)
        return f"{_plain(names)} to {allowed(values, [])}"
    return _plain(kind) + _range(metadata)


def _several(kind: Any) -> str:
    return allowed(kind, []).replace("text", "texts").replace("whole number", "whole numbers")


def _plain(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    words = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}
    if kind is thresholds.Threshold:
        return f"number, -1 to 1; {', '.join(f'`{rule}`' for rule in thresholds.RULES)}"
    return "path" if kind is Path else words[kind]


def _range(metadata: list[Any]) -> str:
    bounds: dict[str, Any] = {}
    for item in metadata:
        for each in [item, *getattr(item, "metadata", [])]:
            for name in ("ge", "gt", "le", "lt"):
                if getattr(each, name, None) is not None:
                    bounds[name] = getattr(each, name)
    if "ge" in bounds and "le" in bounds:
        return f", {bounds['ge']} to {bounds['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return "".join(f", {words[name]} {bound}" for name, bound in bounds.items())


def dag() -> dict[str, Any]:
    """The stages of dvc.yaml."""
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    result: dict[str, Any] = yaml_text.parse(text, "dvc.yaml")["stages"]
    return result


def values() -> dict[str, Any]:
    """What params.yaml holds."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    result: dict[str, Any] = yaml_text.parse(text, "params.yaml")
    return result


def parameters() -> str:
    """Every key of params.yaml: a table for each section, and one for the keys outside sections."""
    document, known = values(), declared()
    sections = {name.partition(".")[0]: "." in name for name in known}
    order = [name for name in document if name in sections]
    plain = [name for name in order if not sections[name]]
    parts = ["### Keys outside sections", _table(plain, known, document, with_stages=True)]
    for section in (name for name in order if sections[name]):
        rows = [name for key in document[section] if (name := f"{section}.{key}") in known]
        parts += [f"### `{section}`", f"Read by {_readers(section)}."]
        parts += [_table(rows, known, document, with_stages=False)]
    return "\n\n".join(parts)


def _table(
    names: list[str], known: Mapping[str, Key], document: Mapping[str, Any], *, with_stages: bool
) -> str:
    head = ["key", "meaning", "allowed", "value", *(["read by"] if with_stages else [])]
    lines = [head, ["---"] * len(head)]
    for name in names:
        key = known[name]
        row = [f"`{name}`", key.description, key.allowed, _shown(_value(document, name))]
        lines.append([*row, *([_readers(name)] if with_stages else [])])
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _value(document: Any, name: str) -> Any:
    for part in name.split("."):
        document = document[part]
    return document


def _shown(value: Any) -> str:
    if isinstance(value, str | bool | int | float):
        text = json.dumps(value) if isinstance(value, bool) else str(value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST_VALUE else "see `params.yaml`"


def _readers(key: str) -> str:
    readers = [
        f"`{stage}`"
        for stage, entry in dag().items()
        if {key, key.partition(".")[0]} & {str(param) for param in entry.get("params", [])}
    ]
    return ", ".join(readers) or "`maskquery review`"


@dataclass(frozen=True)
class Row:
    """The results of a class, or of the mean over the classes.

    Attributes:
        gaps: by segmentation, classification and threshold.
    """

    iou: float
    low: float
    high: float
    positives: int
    without: int
    labels: float
    masks: float
    baseline: float
    pooled: float
    precision: float
    recall: float
    gaps: tuple[float, float, float]


def results() -> dict[str, Row]:
    """The results of each class, and of their mean, which comes first as "mean"."""
    details = json.loads((ROOT / "metrics/details.json").read_text(encoding="utf-8"))
    baseline = details["baselines"]["predict_all"]
    mean = sum(baseline.values()) / len(baseline)
    rows = {"mean": _row(details["overall"], mean)}
    return rows | {name: _row(own, baseline[name]) for name, own in details["classes"].items()}


def _row(own: Mapping[str, Any], baseline: float) -> Row:
    gap = own["iou_gap"]
    return Row(
        iou=own["mean_image_iou"],
        low=own["interval"]["low"],
        high=own["interval"]["high"],
        positives=own["false_positive_images"],
        without=own["images_without_class"],
        labels=own["oracle"]["labels"],
        masks=own["oracle"]["masks"],
        baseline=baseline,
        pooled=own["pooled_iou"],
        precision=own["precision"],
        recall=own["recall"],
        gaps=(gap["segmentation"], gap["classification"], gap["threshold"]),
    )


def readme() -> str:
    """The README's rows, and its sentences on the chair.

    The rows: the mean, chair, and the best, the median and the worst class.
    """
    rows = results()
    ranked = sorted((name for name in rows if name != "mean"), key=lambda name: -rows[name].iou)
    named = {f"mean of {len(ranked)} classes": "mean", "chair": "chair"}
    named |= {f"{ranked[0]} (best)": ranked[0]}
    named |= {f"{ranked[len(ranked) // 2]} (median)": ranked[len(ranked) // 2]}
    named |= {f"{ranked[-1]} (worst)": ranked[-1]}
    lines = []
    for label, name in named.items():
        own = rows[name]
        lines.append(
            f"| {label} | **{own.iou:.2f}** ({own.low:.2f} to {own.high:.2f}) | "
            f"{own.positives} of {own.without} | {own.labels:.2f} | {own.masks:.2f} | "
            f"{own.baseline:.2f} |"
        )
    chair = rows["chair"]
    gaps = (
        f"Chair IoU is {chair.iou:.3f}. Of the missing {1 - chair.iou:.3f}, {chair.gaps[0]:.3f} is "
        f"segmentation, {chair.gaps[1]:.3f} classification and {chair.gaps[2]:.3f} the threshold."
    )
    return "\n".join(lines) + f"\n\n{gaps}"


def demo() -> str:
    """The results of all classes as a table."""
    lines = [
        "| class | mean IoU (95 % interval) | pooled IoU | precision | recall | "
        "false positive images | oracle labels | oracle masks | predict-all baseline |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, own in results().items():
        lines.append(
            f"| {name} | **{own.iou:.3f}** ({own.low:.3f} to {own.high:.3f}) | {own.pooled:.2f} | "
            f"{own.precision:.2f} | {own.recall:.2f} | {own.positives} of {own.without} | "
            f"{own.labels:.2f} | {own.masks:.2f} | {own.baseline:.2f} |"
        )
    return "\n".join(lines)


TEXTS: dict[str, Callable[[], str]] = {"parameters": parameters, "demo": demo, "readme": readme}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put generated texts into a page, as a hook of mkdocs."""
    return MARKER.sub(lambda match: TEXTS[match[1]](), markdown)


if __name__ == "__main__":
    print(TEXTS[sys.argv[1] if len(sys.argv) > 1 else "parameters"]())  # noqa: T201
