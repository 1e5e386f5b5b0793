"""sha256 of an image's bytes, which its cell is named after; known for what was fetched once.

A file is read for it every time. An object in a bucket is fetched once: its digest and its size in
pixels are kept in the cache of finished work under its URL and etag, so that an image that has its
cells is not fetched again.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

from maskquery.core.errors import UserError
from maskquery.images import buckets, image_files
from maskquery.images.sources import File
from maskquery.jobs import cache
from maskquery.jobs.cells import Cells

KIND = "digests"


@dataclass(frozen=True)
class HashedImage:
    """An image that can be processed, as far as its size tells.

    Attributes:
        file: where it is.
        sha256: of its bytes, in hex.
        data: its bytes; None if they were not needed to know the digest.
    """

    file: File
    sha256: str
    data: bytes | None

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            UserError: they cannot be read, or are others than those that the digest is of.
        """
        if self.data is not None:
            return self.data
        data = image_files.read_bytes(self.file)
        if sha256(data).hexdigest() != self.sha256:
            raise UserError(
                f"{self.file} has another content under the same etag: remove {cache.root()}"
            )
        return data


def hash_image(file: File, max_pixels: int) -> HashedImage:
    """The image with the digest of its bytes.

    Raises:
        UserError: it cannot be read, is no image, or has too many pixels, whether or not it was
            fetched before.
    """
    if isinstance(file, buckets.Object):
        return _hash_object(file, max_pixels)
    data = image_files.read_bytes(file)
    image_files.expect_size(data, file, max_pixels)
    return HashedImage(file, sha256(data).hexdigest(), data)


def _hash_object(file: buckets.Object, max_pixels: int) -> HashedImage:
    cells, key = Cells(KIND), cache.key(KIND, file.url, file.etag, file.size)
    if (noted := cells.read(key)) is not None:
        digest, width, height = json.loads(noted)
        image_files.expect_pixels(file, width, height, max_pixels)
        return HashedImage(file, digest, None)
    data = image_files.read_bytes(file)
    digest = sha256(data).hexdigest()
    with image_files.opened(file, data, max_pixels=max_pixels) as image:
        cells.write(key, json.dumps([digest, *image.size]).encode())
    return HashedImage(file, digest, data)
