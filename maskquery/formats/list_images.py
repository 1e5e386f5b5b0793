"""List a bucket, so that its images can be the pipeline's.

    maskquery list s3://bucket/mine --out data/images.json

Then name data/images.json as `images` in params.yaml. DVC and git keep the list, not the bucket:
run it again when images have come, gone or changed.
"""

from collections.abc import Sequence
from pathlib import Path

from maskquery.core.arguments import Parser
from maskquery.core.errors import UsageError
from maskquery.images import buckets, image_files


def run(url: str, out: Path) -> str:
    """Write the listing `out`; the closing line says what is new against the one before.

    Raises:
        UserError: the bucket cannot be listed, holds no image, or `out` is something else.
    """
    if out.suffix != buckets.SUFFIX:
        raise UsageError(f"--out {out}: it must end in {buckets.SUFFIX}")
    before = buckets.read(out).objects if out.exists() else {}
    bucket = buckets.list_bucket(url)
    bucket.files()  # says which name cannot be had, before anything is written
    buckets.write(out, bucket)
    count = len(image_files.find(out))
    now = bucket.objects
    came, went = len(now.keys() - before.keys()), len(before.keys() - now.keys())
    changed = sum(before[key] != now[key] for key in now.keys() & before.keys())
    return (
        f"list_images: {count} images in {out}; {came} objects new, {went} gone, {changed} changed"
    )


def main(arguments: Sequence[str]) -> str:
    """List a bucket."""
    parser = Parser("list", __doc__)
    parser.add_argument("url", metavar="URL", help="s3://BUCKET/FOLDER or gs://BUCKET/FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="the list to write, .json")
    chosen = parser.parse_args(arguments)
    return run(chosen.url, chosen.out)
