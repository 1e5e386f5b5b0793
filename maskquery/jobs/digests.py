"""The sha256 of images, which the keys of their cells are computed from.

A file is read every time. An object in a bucket is downloaded once: its digest and header are kept
in the cache of finished work under its URL and etag, so an image with cells is not downloaded
again.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

from maskquery.core.errors import UserError
from maskquery.images import buckets, image_files
from maskquery.images.image_files import Header
from maskquery.images.sources import File
from maskquery.jobs import cache
from maskquery.jobs.cells import Cells

KIND = "digests"

VERSION = 2  # of the cached notes; 1 had no header


@dataclass(frozen=True)
class HashedImage:
    """An image whose header was accepted, and its digest.

    Attributes:
        file: where its bytes are.
        sha256: of its bytes, in hex.
        header: of the image file.
        data: its bytes; None if the digest came from the cache.
    """

    file: File
    sha256: str
    header: Header
    data: bytes | None

    def read(self) -> bytes:
        """The image's bytes, read if they are not in memory.

        Raises:
            UserError: they cannot be read, or have another digest.
        """
        if self.data is not None:
            return self.data
        data = image_files.read_bytes(self.file)
        if sha256(data).hexdigest() != self.sha256:
            raise UserError(
                f"{self.file} has changed, but its etag has not", f"remove {cache.root()}"
            )
        return data


def hash_image(file: File, max_pixels: int) -> HashedImage:
    """Read an image's header and compute its digest.

    Raises:
        UserError: it cannot be read, is not an image, or has more than `max_pixels` pixels.
    """
    if isinstance(file, buckets.Object):
        return _hash_object(file, max_pixels)
    data = image_files.read_bytes(file)
    header = image_files.read_header(data, file, max_pixels)
    return HashedImage(file, sha256(data).hexdigest(), header, data)


def sha256_of(file: File) -> str | None:
    """The sha256 of an image, in hex; None for an object in a bucket that was never downloaded.

    Raises:
        UserError: it cannot be read.
    """
    if isinstance(file, buckets.Object):
        note = _read_note(file)
        return note[0] if note else None
    return sha256(image_files.read_bytes(file)).hexdigest()


def _hash_object(file: buckets.Object, max_pixels: int) -> HashedImage:
    if note := _read_note(file):
        digest, header = note
        image_files.expect_pixels(file, header.width, header.height, max_pixels)
        return HashedImage(file, digest, header, None)
    data = image_files.read_bytes(file)
    digest, header = sha256(data).hexdigest(), image_files.read_header(data, file, max_pixels)
    Cells(KIND).write(_key(file), json.dumps([digest, vars(header)]).encode())
    return HashedImage(file, digest, header, data)


def _read_note(file: buckets.Object) -> tuple[str, Header] | None:
    """The digest and header of an object, if it was downloaded before."""
    note = Cells(KIND).read(_key(file))
    if note is None:
        return None
    digest, header = json.loads(note)
    return digest, Header(**header | {"conversions": tuple(header["conversions"])})


def _key(file: buckets.Object) -> str:
    return cache.key(KIND, VERSION, file.url, file.etag, file.size)
