"""The review comment: gate, figures, params, curves, what changed most, as Markdown."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskquery.core.errors import UserError
from maskquery.review import changes, curves, gate, history, panels, predictions, significance
from maskquery.review.changes import ImageChange
from maskquery.review.gate import Verdict
from maskquery.review.predictions import PredictionChange

CURVES = Path("metrics/curves.csv")
TABLE_ROWS = 10  # of changed images
PANELS = 6


def write(base: str, folder: Path) -> tuple[Path, list[str]]:
    """Write `comment.md` and panels into `folder`; the comment, and what forbids the merge.

    Args:
        base: a commit.
        folder: is created.

    Raises:
        UserError: a file that is compared cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    verdict = gate.judge(base)
    before = history.read(base, gate.IMAGES)
    now = gate.IMAGES.read_text(encoding="utf-8") if gate.IMAGES.exists() else None
    known = before is not None and now is not None
    changed = changes.image_changes(before or "", now or "") if known else []
    false_positives = changes.false_positive_changes(before or "", now or "") if known else (0, 0)
    parts = [
        f"## What this does to the results, against {base[:10]}",
        _verdict(verdict),
        _section(
            "Metrics",
            _table(history.difference("metrics", base), ("old", "new", "diff")),
            "No figure of `metrics/` changed.",
        ),
        _section(
            "Params",
            _table(history.difference("params", base), ("old", "new")),
            "No param changed.",
        ),
        _section("Curves", _curves(base), "No curve of mean image IoU over the threshold changed."),
        _significance_table(before, now),
        *(
            [
                _section("Images that changed most", _image_table(changed), "No IoU changed."),
                _false_positive_line(false_positives),
                _panel_lines(base, changed, folder),
            ]
            if _is_measured(before) and _is_measured(now)
            else _prediction_parts(base, folder)
        ),
    ]
    path = folder / "comment.md"
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    return path, verdict.failures


def _verdict(verdict: Verdict) -> str:
    if verdict.failures:
        lines = [f"- {line}" for line in verdict.failures]
        return "\n".join(["**Not to be merged as it is:**", "", *lines])
    passed = "Results are up to date, and no metric got worse by more than its tolerance."
    return " ".join([passed, *(f"Note: {note}." for note in verdict.notes)])


def _section(title: str, body: str, otherwise: str) -> str:
    return f"### {title}\n\n{body or otherwise}"


def _table(names_by_file: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> str:
    """What DVC found to differ, a row for each name; "" if nothing does."""
    names = {"old": "before", "new": "now", "diff": "change"}
    rows = [
        [file, name, *(_cell(values.get(column)) for column in columns)]
        for file, tree in sorted(names_by_file.items())
        for name, values in sorted(tree.items())
    ]
    if not rows:
        return ""
    head = ["file", "name", *(names[column] for column in columns)]
    body = [[escape(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _false_positive_line(changed: tuple[int, int]) -> str:
    new, gone = changed
    if not new and not gone:
        return ""
    return f"Images with false positives only: {new} new, {gone} gone."


def _curves(base: str) -> str:
    before = history.read(base, CURVES)
    if before is None or not CURVES.exists():
        return ""
    return curves.section(before, CURVES.read_text(encoding="utf-8"), escape)


def _significance_table(before: str | None, now: str | None) -> str:
    """By how much the mean image IoU moved, and whether that is more than chance."""
    compared = significance.differences(before or "", now or "")
    if not any(difference.change for difference in compared):
        return ""
    lines = [
        "### Is it more than chance?",
        "",
        "Change of the mean image IoU, with the 95 % interval of a paired bootstrap over images.",
        "",
        "| metric | images | change | |",
        "|---|---|---|---|",
    ]
    for difference in compared:
        note = "too few images" if difference.interval is None else ""
        if difference.is_significant:
            note = "better" if difference.change > 0 else "worse"
        lines.append(f"| {escape(difference.name)} | {difference.images} | {difference} | {note} |")
    return "\n".join(lines)


def _image_table(changed: Sequence[ImageChange]) -> str:
    if not changed:
        return ""
    better = sum(change.now > change.before for change in changed)
    lines = [
        f"{better} better, {len(changed) - better} worse (an image and class each).",
        "",
        "| image | class | IoU before | IoU now | change |",
        "|---|---|---|---|---|",
    ]
    for change in changed[:TABLE_ROWS]:
        name = escape(change.image)
        lines.append(
            f"| {name} | {escape(change.class_name)} | {change.before:.3f} | {change.now:.3f} "
            f"| {change.now - change.before:+.3f} |"
        )
    return "\n".join(lines)


def escape(text: str) -> str:
    """A name as Markdown shows it: no table cell, markup or mention begins in it."""
    plain = " ".join(text.split())
    outer = r"(?<![^\W_])_|_(?![^\W_])"  # underscores but for those within a word
    return re.sub(rf"{outer}|[^\w /.,-]", lambda match: f"&#{ord(match[0])};", plain)


def _is_measured(images: str | None) -> bool:
    """Whether an images.csv has a row, for which there must be ground truth."""
    return images is not None and len(images.splitlines()) > 1


def _prediction_parts(base: str, folder: Path) -> list[str]:
    """What changed in the predictions, where there is no ground truth to measure them by."""
    title = "Predictions that changed most"
    if not panels.PREDICTIONS.exists():
        missing = f"Not compared: {panels.PREDICTIONS} is not here (`dvc pull` or `dvc repro`)."
        return [_section(title, "", missing)]
    before = panels.fetch_predictions(base, folder)
    if before is None:
        missing = "Not compared: DVC's cache does not hold the base's predictions (`dvc pull`)."
        return [_section(title, "", missing)]
    changed = predictions.changes(before, panels.PREDICTIONS)
    parts = [_section(title, _prediction_table(changed), "No prediction changed.")]
    # A class that is gone has no panel of today.
    names = predictions.classes_of(panels.PREDICTIONS)
    selected = [c for c in changed if c.moved and c.class_name in names][:PANELS]
    if selected:
        parts.append(_panel_line(panels.draw(selected, before, folder)))
    return parts


def _prediction_table(changed: Sequence[PredictionChange]) -> str:
    if not changed:
        return ""
    lines = ["| class | images changed | masks | pixels |", "|---|---|---|---|"]
    for name, images, masks, pixels in predictions.by_class(changed):
        lines.append(
            f"| {escape(name)} | {images} | {masks[0]} -> {masks[1]} | {pixels[0]} -> {pixels[1]} |"
        )
    lines += [
        "",
        "| image | class | masks | pixels | changed, of the image |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {escape(c.image)} | {escape(c.class_name)} | {c.masks[0]} -> {c.masks[1]} "
        f"| {c.pixels[0]} -> {c.pixels[1]} | {c.share:.1%} |"
        for c in changed[:TABLE_ROWS]
    ]
    return "\n".join(lines)


def _panel_line(paths: Sequence[Path]) -> str:
    return f"Panels, before above and now below: {', '.join(f'`{path.name}`' for path in paths)}"


def _panel_lines(base: str, changed: Sequence[ImageChange], folder: Path) -> str:
    selected = changed[:PANELS]
    if not selected:
        return ""
    if not panels.PREDICTIONS.exists():
        return f"No panels: {panels.PREDICTIONS} is not here (`dvc pull` or `dvc repro`)."
    before = panels.fetch_predictions(base, folder)
    if before is None:
        return "No panels: DVC's cache does not hold the base's predictions (`dvc pull`)."
    return _panel_line(panels.draw(selected, before, folder))


def main(base: str, folder: Path) -> str:
    """Write the comment; the closing line.

    Raises:
        UserError: something forbids the merge, or cannot be compared.
    """
    path, failures = write(history.merge_base(history.resolve(base)), folder)
    if failures:
        raise UserError(f"{path} is written; not to be merged: {'; '.join(failures)}")
    return f"review: {path}"
