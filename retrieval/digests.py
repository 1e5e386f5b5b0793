"""sha256 of an image's bytes, which names its cell; known for what was fetched once.

A file is read for it every time. An object in a bucket is fetched once: its digest and its size in
pixels are kept in the side cache under its URL and etag, so that an image that has its cells is not
fetched again.
"""

import json
from collections.abc import Callable
from hashlib import sha256

from retrieval import buckets, cache, images
from retrieval.cells import Cells
from retrieval.errors import UserError
from retrieval.sources import File

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
    data = images.read_bytes(file)
    images.expect_size(data, file, max_pixels)
    return sha256(data).hexdigest(), lambda: data


def _look_at_object(file: buckets.Object, max_pixels: int) -> tuple[str, Fetch]:
    kept, name = Cells(KIND), cache.key(KIND, file.url, file.etag, file.size)
    if (noted := kept.read(name)) is not None:
        digest, width, height = json.loads(noted)
        images.expect_pixels(file, width, height, max_pixels)
        return digest, lambda: _fetched(file, digest)
    data = images.read_bytes(file)
    digest = sha256(data).hexdigest()
    with images.opened(file, data, max_pixels=max_pixels) as image:
        kept.write(name, json.dumps([digest, *image.size]).encode())
    return digest, lambda: data


def _fetched(file: buckets.Object, digest: str) -> bytes:
    data = images.read_bytes(file)
    if sha256(data).hexdigest() != digest:
        raise UserError(f"{file} has another content under the same etag: remove {cache.root()}")
    return data
