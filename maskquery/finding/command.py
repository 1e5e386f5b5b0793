"""Find objects in an image, or in a folder of images, by text.

maskquery find photo.jpg "a red chair" --threshold 0.3 --out found
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from maskquery.core.errors import UserError
from maskquery.finding import FAILURES, SCORES, find
from maskquery.formats import folders
from maskquery.tables import score_table


def main(arguments: Sequence[str]) -> str:
    """Find, and say what was found."""
    chosen = _parser().parse_args(arguments)
    named = {
        "sam.model": chosen.sam,
        "clip.model": chosen.clip,
        "sam.points_per_side": chosen.points_per_side,
        "on_error": chosen.on_error,
    }
    settings = dict(map(setting, chosen.set))
    settings |= {key: value for key, value in named.items() if value is not None}
    found = find(
        chosen.source, chosen.prompts, threshold=chosen.threshold, out=chosen.out, settings=settings
    )
    parts = []
    for prompt in dict.fromkeys(chosen.prompts):
        counts = [len(image.masks(prompt)) for image in found.values()]
        shown = sum(map(bool, counts))
        what = f"{sum(counts)} masks of {prompt!r} in {shown} of {len(counts)} images"
        parts.append(what if shown else f"{what} ({_nearest(chosen.out, prompt)})")
    failed = json.loads((chosen.out / FAILURES).read_text(encoding="utf-8"))["failed"]
    if failed:
        parts.append(f"{failed} images failed: see {chosen.out / FAILURES}")
    return f"find: {'; '.join(parts)}; look at {chosen.out / 'overlays'}"


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


def setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as in YAML."""
    key, equals, value = text.partition("=")
    try:
        if key and equals:
            return key, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    raise UserError(f"--set {text}: it must be KEY=VALUE, such as sam.pred_iou_thresh=0.88")


def _threshold(text: str) -> float | str:
    """A number, or the name of a rule, which is checked with the other params."""
    try:
        return float(text)
    except ValueError:
        return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskquery find",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="IMAGE_OR_FOLDER", type=Path)
    add("prompts", metavar="PROMPT", nargs="+", help="what to find, each for itself")
    add("--threshold", type=_threshold, help="a mask is found if its score is above it, -1 to 1")
    add("--out", type=Path, default=Path("found"), help="folder to make (%(default)s)")
    add("--sam", metavar="MODEL", help="tiny, vit_b, vit_l, vit_h")
    add("--clip", metavar="MODEL", help="tiny, ViT-B/32, ...")
    add("--points-per-side", type=int, metavar="N", help="of the grid of points that prompt SAM")
    add("--on-error", choices=["fail", "skip"], help="when an image fails, after all the others")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any other of params.yaml")
    return parser
