"""List a bucket, so that its images can be the pipeline's.

    python -m formats.list_images s3://bucket/mine --out data/images.json

Then name data/images.json as `images` in params.yaml. DVC and git keep the list, not the bucket:
run it again when images have come, gone or changed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from retrieval import buckets, cli, images
from retrieval.errors import UserError


def run(url: str, out: Path) -> str:
    """Write the listing `out`; the closing line says what is new against the one before.

    Raises:
        UserError: the bucket cannot be listed, holds no image, or `out` is something else.
    """
    if out.suffix != buckets.SUFFIX:
        raise UserError(f"{out} must end in {buckets.SUFFIX}")
    before = buckets.read(out).objects if out.exists() else {}
    found = buckets.look(url)
    found.files()  # says which name cannot be had, before anything is written
    buckets.write(out, found)
    count = len(images.find(out))
    now = found.objects
    came, went = len(now.keys() - before.keys()), len(before.keys() - now.keys())
    changed = sum(before[key] != now[key] for key in now.keys() & before.keys())
    return (
        f"list_images: {count} images in {out}; {came} objects new, {went} gone, {changed} changed"
    )


def main(arguments: Sequence[str]) -> str:
    """List a bucket."""
    parser = argparse.ArgumentParser(
        prog="python -m formats.list_images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="s3://BUCKET/FOLDER or gs://BUCKET/FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="the list to write, .json")
    chosen = parser.parse_args(arguments)
    return run(chosen.url, chosen.out)


if __name__ == "__main__":
    cli.run_stage(lambda: main(sys.argv[1:]))
