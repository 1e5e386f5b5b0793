"""Find objects in an image, or in a folder of images, by text.

maskquery find photo.jpg "a red chair" --threshold 0.3 --out found
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from maskquery import finding
from maskquery.core import yaml_text
from maskquery.core.arguments import Parser
from maskquery.core.errors import UsageError, UserError
from maskquery.finding import FAILURES, SCORES, preset
from maskquery.finding.settings import Given
from maskquery.formats import folders
from maskquery.formats.objects import AnnotatedImage
from maskquery.tables import score_table


def main(arguments: Sequence[str]) -> str:
    """Find, and say what was found."""
    chosen = parser().parse_args(arguments)
    expect_texts(chosen.prompts)
    images = finding.run(
        chosen.source, chosen.prompts, values_on_command_line(chosen), chosen.out, chosen.preset
    )
    parts = [
        _count(prompt, list(images.values()), chosen.out)
        for prompt in dict.fromkeys(chosen.prompts)
    ]
    failed = json.loads((chosen.out / FAILURES).read_text(encoding="utf-8"))["failed"]
    if failed:
        parts.append(f"{failed} images failed: see {chosen.out / FAILURES}")
    return f"find: {'; '.join(parts)}; look at {chosen.out / 'overlays'}"


def _count(prompt: str, images: Sequence[AnnotatedImage], out: Path) -> str:
    counts = [len(image.masks(prompt)) for image in images]
    shown = sum(map(bool, counts))
    text = f"{sum(counts)} masks of {prompt!r} in {shown} of {len(counts)} images"
    return text if shown else f"{text} ({_nearest(out, prompt)})"


def _nearest(out: Path, prompt: str) -> str:
    """How far the threshold was from letting any mask pass."""
    table = score_table.read(out / SCORES)
    if not table.images:
        return "there is no mask at all"
    column = table.classes.index(prompt)
    highest = max(float(image.score[:, column].max()) for image in table.images.values())
    return (
        f"the highest score is {highest:.3f}, the threshold {folders.read_mark(out)['threshold']}"
    )


def expect_texts(prompts: Sequence[str]) -> None:
    """Refuse a file among the prompts: a second image, or what the shell made of a pattern.

    Raises:
        UsageError: naming it.
    """
    for prompt in prompts:
        if os.path.isfile(prompt):  # noqa: PTH113 - a long prompt is no path, and no error
            raise UsageError(
                f"the prompt {prompt!r} is a file, and only the first argument may be one",
                "for several images name their folder, and put each prompt in quotes",
            )


def values_on_command_line(chosen: argparse.Namespace) -> list[Given]:
    """The values that stand on the command line."""
    options = [
        Given("threshold", chosen.threshold, "--threshold"),
        Given("sam.model", chosen.sam, "--sam"),
        Given("clip.model", chosen.clip, "--clip"),
        Given("sam.points_per_side", chosen.points_per_side, "--points-per-side"),
        Given("on_error", chosen.on_error, "--on-error"),
    ]
    named = [option for option in options if option.value is not None]
    return named + [setting(text) for text in chosen.set]


def setting(text: str) -> Given:
    """KEY=VALUE, the value as in params.yaml.

    Raises:
        UsageError: it is something else.
    """
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--set {text}: it must be KEY=VALUE, such as sam.pred_iou_thresh=0.88")
    try:
        return Given(key, yaml_text.parse(value, f"--set {text}"), "--set")
    except UserError as error:
        raise UsageError(error.problem, error.remedy) from None


def _threshold(text: str) -> float | str:
    """A number, or the name of a rule, which is checked with the other params."""
    try:
        return float(text)
    except ValueError:
        return text


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser("find", __doc__)
    add = arguments.add_argument
    add("source", metavar="IMAGE_OR_FOLDER", type=Path)
    add("prompts", metavar="PROMPT", nargs="+", help="what to find, each for itself")
    add(
        "--threshold",
        type=_threshold,
        metavar="NUMBER",
        help="a mask is found if its score is above it, -1 to 1",
    )
    add("--out", type=Path, default=Path("found"), help="folder to make (%(default)s)")
    add(
        "--preset",
        choices=preset.NAMES,
        help="settings; outside a project photo, or demo with models that are tiny",
    )
    add("--sam", metavar="MODEL", help="tiny, mobile, vit_b, vit_l, vit_h")
    add("--clip", metavar="MODEL", help="tiny, ViT-B/32, openclip:ARCH/TAG, ...")
    add("--points-per-side", type=int, metavar="N", help="of the grid of points that prompt SAM")
    add("--on-error", choices=["fail", "skip"], help="when an image fails, after all the others")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any other of params.yaml")
    return arguments
