"""sha256 of an image's bytes, which its cell is named after; known for what was fetched once.

A file is read for it every time. An object in a bucket is fetched once: its digest and its header
are kept in the cache of finished work under its URL and etag, so that an image that has its cells
is not fetched again.
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

VERSION = 2  # of what is noted: 1 had no header


@dataclass(frozen=True)
class HashedImage:
    """An image that can be processed, as far as its header tells.

    Attributes:
        file: where it is.
        sha256: of its bytes, in hex.
        header: what its header says.
        data: its bytes; None if they were not needed to know the digest.
    """

    file: File
    sha256: str
    header: Header
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
                f"{self.file} has another content under the same etag", f"remove {cache.root()}"
            )
        return data


def hash_image(file: File, max_pixels: int) -> HashedImage:
    """The image with the digest of its bytes, and its header.

    Raises:
        UserError: it cannot be read, is no image, or has too many pixels, whether or not it was
            fetched before.
    """
    if isinstance(file, buckets.Object):
        return _hash_object(file, max_pixels)
    data = image_files.read_bytes(file)
    header = image_files.read_header(data, file, max_pixels)
    return HashedImage(file, sha256(data).hexdigest(), header, data)


def sha256_of(file: File) -> str | None:
    """The sha256 of an image's bytes; None for an object in a bucket that was not fetched yet.

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
    """What was noted of an object when it was fetched."""
    note = Cells(KIND).read(_key(file))
    if note is None:
        return None
    digest, header = json.loads(note)
    return digest, Header(**header | {"conversions": tuple(header["conversions"])})


def _key(file: buckets.Object) -> str:
    return cache.key(KIND, VERSION, file.url, file.etag, file.size)
