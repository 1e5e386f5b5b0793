"""sha256 of an image's bytes, which names its cell; known for what was fetched once.

A file is read for it every time. An object in a bucket is fetched once: its digest and its
header are kept in the side cache under its URL and etag, so that an image that has its cells is not
fetched again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from maskquery.core.errors import UserError
from maskquery.images import buckets, image_files
from maskquery.images.sources import File
from maskquery.jobs import cache
from maskquery.jobs.cells import Cells

KIND = "digests"

VERSION = 2  # of what is noted: 1 had no header

Fetch = Callable[[], bytes]


@dataclass(frozen=True)
class Looked:
    """What is known of an image before it is decoded.

    Attributes:
        digest: sha256 of its bytes, in hex.
        header: what its header says.
        fetch: gives the bytes, read already or not.
    """

    digest: str
    header: image_files.Header
    fetch: Fetch


def look(file: File, max_pixels: int) -> Looked:
    """Look at an image.

    Raises:
        UserError: it cannot be read, is no image, or has too many pixels, whether or not it was
            fetched before.
    """
    if isinstance(file, buckets.Object):
        return _look_at_object(file, max_pixels)
    data = image_files.read_bytes(file)
    header = image_files.read_header(data, file, max_pixels)
    return Looked(sha256(data).hexdigest(), header, lambda: data)


def sha256_of(file: File) -> str | None:
    """The sha256 of an image's bytes; None for an object in a bucket that was not fetched yet.

    Raises:
        UserError: it cannot be read.
    """
    if isinstance(file, buckets.Object):
        noted = _noted(file)
        return noted[0] if noted else None
    return sha256(image_files.read_bytes(file)).hexdigest()


def _look_at_object(file: buckets.Object, max_pixels: int) -> Looked:
    if noted := _noted(file):
        digest, header = noted
        image_files.expect_pixels(file, header.width, header.height, max_pixels)
        return Looked(digest, header, lambda: _fetched(file, digest))
    data = image_files.read_bytes(file)
    digest, header = sha256(data).hexdigest(), image_files.read_header(data, file, max_pixels)
    Cells(KIND).write(_name(file), json.dumps([digest, vars(header)]).encode())
    return Looked(digest, header, lambda: data)


def _noted(file: buckets.Object) -> tuple[str, image_files.Header] | None:
    """What was noted of an object when it was fetched."""
    kept = Cells(KIND).read(_name(file))
    if kept is None:
        return None
    digest, header = json.loads(kept)
    return digest, image_files.Header(**header | {"conversions": tuple(header["conversions"])})


def _name(file: buckets.Object) -> str:
    return cache.key(KIND, VERSION, file.url, file.etag, file.size)


def _fetched(file: buckets.Object, digest: str) -> bytes:
    data = image_files.read_bytes(file)
    if sha256(data).hexdigest() != digest:
        raise UserError(f"{file} has another content under the same etag: remove {cache.root()}")
    return data
