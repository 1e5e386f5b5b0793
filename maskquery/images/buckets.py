"""Images in a bucket: a listing of the objects, which is a file of the repository, and one object.

DVC hashes the listing, a small file, instead of the bucket. It names the objects with their etags,
which the storage changes with an object's content. So git and DVC see which objects were added,
removed or changed, and a run reads exactly the listed objects or fails. Credentials and endpoint
come from the environment, as s3fs and gcsfs read it.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from maskquery.core import files
from maskquery.core.errors import FatalError, UserError
from maskquery.core.params import Section
from maskquery.images import names

SUFFIX = ".json"
"""The suffix of a listing."""

PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
"""The package that reads each kind of URL, through fsspec."""

INSTALLS = {"s3": "maskquery[s3]", "gs": "gcsfs"}
"""What pip installs for it."""

RELIST = "list the bucket again with `maskquery list`"


@dataclass(frozen=True)
class Object:
    """A file in a bucket.

    Attributes:
        url: the whole URL.
        name: the path below the listing's URL.
        size: bytes.
        etag: which the storage changes with the content.
    """

    url: str
    name: str
    size: int
    etag: str

    def __str__(self) -> str:
        return names.shorten(self.url)

    def read_bytes(self) -> bytes:
        """Download the object.

        Raises:
            UserError: it has changed or was removed since it was listed, or access is denied.
            FatalError: the bucket cannot be reached.
        """
        protocol, _, path = self.url.partition("://")
        storage = _storage(protocol)
        try:
            data: bytes = storage.cat_file(path)
            storage.invalidate_cache()
            now = _entry_of(storage.info(path))  # after the download: it may change meanwhile
        except FileNotFoundError:
            raise UserError(f"{self} was removed", RELIST) from None
        except PermissionError:
            raise UserError(
                f"{self} cannot be read: access is denied", f"give access, or {RELIST}"
            ) from None
        except Exception as error:  # each storage raises errors of its own
            raise _unreachable(self.url, error) from None
        if (now.etag, now.size, len(data)) != (self.etag, self.size, self.size):
            raise UserError(f"{self} has changed since it was listed", RELIST)
        return data


class Entry(Section):
    """An object in a listing."""

    etag: str
    size: Annotated[int, pydantic.Field(ge=0)]


class Listing(Section):
    """The content of a listing's file.

    Attributes:
        format: "maskquery listing 1" is written; the older name is read, too.
        url: "s3://BUCKET/FOLDER"; everything below it is listed.
        objects: by their paths below the URL.
    """

    format: Literal["maskquery listing 1", "retrieval listing 1"]
    url: Annotated[str, pydantic.StringConstraints(pattern=r"^(s3|gs)://[^/]+")]
    objects: dict[str, Entry]

    def files(self) -> list[Object]:
        """The objects, hidden ones excepted.

        Raises:
            UserError: a name leads out of a folder.
        """
        objects = []
        for key, entry in self.objects.items():
            if (name := names.inside(key, self.url)) is not None:
                objects.append(Object(f"{self.url}/{key}", name, entry.size, entry.etag))
        return objects


def read(path: Path) -> Listing:
    """Read a listing.

    Raises:
        UserError: the file cannot be read, or is not a listing.
    """
    try:
        return Listing.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "its contents"
        raise UserError(
            f"{path} is not a listing of images: {place}: {first['msg']}; make one with "
            f"`maskquery list`"
        ) from None


def write(path: Path, listing: Listing) -> None:
    """Write a listing, with a line for each object, so that git shows which have changed."""
    files.write_file(path, (listing.model_dump_json(indent=1) + "\n").encode())


def list_bucket(url: str) -> Listing:
    """List the objects that are in a bucket now, sorted by name.

    Args:
        url: "s3://BUCKET/FOLDER" or "gs://BUCKET/FOLDER".

    Raises:
        UserError: it is not such a URL.
        FatalError: the bucket cannot be listed.
    """
    url = url.rstrip("/")
    protocol, separator, path = url.partition("://")
    if not separator or protocol not in PACKAGES or not path:
        known = " or ".join(f"{name}://" for name in PACKAGES)
        raise UserError(f"{url} is not a folder of a bucket: it must begin with {known}")
    storage = _storage(protocol)
    try:
        storage.invalidate_cache()
        infos: Mapping[str, Any] = storage.find(path, detail=True)
    except Exception as error:
        raise _unreachable(url, error) from None
    objects = {}
    for key, info in sorted(infos.items()):
        name = key.removeprefix(f"{path}/")
        if info["type"] == "file" and name and not name.endswith("/"):
            objects[name] = _entry_of(info)
    return Listing(format="maskquery listing 1", url=url, objects=objects)


def _entry_of(info: Mapping[str, Any]) -> Entry:
    etag = info.get("ETag") or info.get("etag")  # of s3fs, of gcsfs
    return Entry(etag=str(etag).strip('"'), size=info["size"])


def _storage(protocol: str) -> Any:
    """The file system of fsspec. Its import takes a second, and its package may be missing."""
    package = PACKAGES[protocol]
    try:
        importlib.import_module(package)
    except ImportError:
        raise FatalError(
            f"{protocol}:// needs {package}, which is not installed",
            f"run `pip install '{INSTALLS[protocol]}'`",
        ) from None
    import fsspec

    return fsspec.filesystem(protocol)


def _unreachable(url: str, error: Exception) -> FatalError:
    reason = " ".join(str(error).split())
    return FatalError(f"{url} cannot be reached ({type(error).__name__}: {reason})")


def expect_current(path: Path) -> None:
    """Refuse a listing if an object in it has changed or was removed; new objects are allowed.

    Raises:
        UserError: naming the first such object.
        FatalError: the bucket cannot be listed.
    """
    listing = read(path)
    current = list_bucket(listing.url).objects
    for key, entry in listing.objects.items():
        if current.get(key) != entry:
            what = "has changed" if key in current else "was removed"
            raise UserError(f"{listing.url}/{key} {what} since {path} was made", RELIST)
