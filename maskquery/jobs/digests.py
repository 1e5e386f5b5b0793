"""sha256 of an image's bytes, which names its cell; known for what was fetched once.

A file is read for it every time. An object in a bucket is fetched once: its digest and its size in
pixels are kept in the side cache under its URL and etag, so that an image that has its cells is not
fetched again.
"""

import json
from collections.abc import Callable
from hashlib import sha256

from maskquery.core.errors import UserError
from maskquery.images import buckets, image_files
from maskquery.images.sources import File
from maskquery.jobs import cache
from maskquery.jobs.cells import Cells

KIND = "digests"

Fetch = Callable[[], bytes]


def look(file: File, max_pixels: int) -> tuple[str, Fetch]:
    """The sha256 of an image's bytes, in hex, and what gives the bytes, read already or not.

    Raises:
        UserError: it cannot be read, is no image, or has too many pixels, whether or not it was
            fetched before.
    """
    if isinstance(file, buckets.Object):
        return _look_at_object(file, max_pixels)
    data = image_files.read_bytes(file)
    image_files.expect_size(data, file, max_pixels)
    return sha256(data).hexdigest(), lambda: data


def _look_at_object(file: buckets.Object, max_pixels: int) -> tuple[str, Fetch]:
    kept, name = Cells(KIND), cache.key(KIND, file.url, file.etag, file.size)
    if (noted := kept.read(name)) is not None:
        digest, width, height = json.loads(noted)
        image_files.expect_pixels(file, width, height, max_pixels)
        return digest, lambda: _fetched(file, digest)
    data = image_files.read_bytes(file)
    digest = sha256(data).hexdigest()
    with image_files.opened(file, data, max_pixels=max_pixels) as image:
        kept.write(name, json.dumps([digest, *image.size]).encode())
    return digest, lambda: data


def _fetched(file: buckets.Object, digest: str) -> bytes:
    data = image_files.read_bytes(file)
    if sha256(data).hexdigest() != digest:
        raise UserError(f"{file} has another content under the same etag: remove {cache.root()}")
    return data
