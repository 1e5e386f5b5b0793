"""Files in a bucket: a listing of them, which stands in the repository, and reading one.

DVC hashes the listing, a small file, and not the bucket. It says which objects there are, and each
one's etag, which the storage changes with the object: so git and DVC see what came, went and
changed, and a run reads what the listing says or says that it cannot. Credentials and endpoint are
those of the environment, as s3fs and gcsfs find them.
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
"""Of a listing."""

PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
"""What reads which kind of URL, through fsspec."""

INSTALLS = {"s3": "maskquery[s3]", "gs": "gcsfs"}
"""What pip is to install for it."""

AGAIN = "list the bucket again with `maskquery list`"


@dataclass(frozen=True)
class Object:
    """A file in a bucket.

    Attributes:
        url: the whole of it.
        name: the file's path below the listing's URL.
        size: bytes.
        etag: what the storage changes whenever the contents change.
    """

    url: str
    name: str
    size: int
    etag: str

    def __str__(self) -> str:
        return names.shown(self.url)

    def read_bytes(self) -> bytes:
        """The object's bytes.

        Raises:
            UserError: it has changed, has gone, or must not be read.
            FatalError: the storage cannot be reached.
        """
        protocol, _, path = self.url.partition("://")
        storage = _storage(protocol)
        try:
            data: bytes = storage.cat_file(path)
            storage.invalidate_cache()
            now = _noted(storage.info(path))  # asked afterwards: it may change while it is read
        except FileNotFoundError:
            raise UserError(f"{self} has gone", AGAIN) from None
        except PermissionError:
            raise UserError(f"{self} must not be read", f"give access, or {AGAIN}") from None
        except Exception as error:  # what is raised is the storage's own affair
            raise _unreachable(self.url, error) from None
        if (now.etag, now.size, len(data)) != (self.etag, self.size, self.size):
            raise UserError(f"{self} has changed since it was listed", AGAIN)
        return data


class Noted(Section):
    """What a listing says of an object."""

    etag: str
    size: Annotated[int, pydantic.Field(ge=0)]


class Listing(Section):
    """What a listing's file holds.

    Attributes:
        format: a listing of the older name is read, and none is written.
        url: "s3://BUCKET/FOLDER"; what stands below it is listed.
        objects: by the rest of their names.
    """

    format: Literal["maskquery listing 1", "retrieval listing 1"]
    url: Annotated[str, pydantic.StringConstraints(pattern=r"^(s3|gs)://[^/]+")]
    objects: dict[str, Noted]

    def files(self) -> list[Object]:
        """The objects, hidden ones excepted.

        Raises:
            UserError: a name leads out of a folder.
        """
        found = []
        for key, noted in self.objects.items():
            if (name := names.inside(key, self.url)) is not None:
                found.append(Object(f"{self.url}/{key}", name, noted.size, noted.etag))
        return found


def read(path: Path) -> Listing:
    """Read a listing.

    Raises:
        UserError: it is none.
    """
    try:
        return Listing.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "its contents"
        raise UserError(
            f"{path} is no listing of images: {place}: {first['msg']}; make one with "
            f"`maskquery list`"
        ) from None


def write(path: Path, listing: Listing) -> None:
    """Write a listing, with a line for each object, so that git shows which have changed."""
    files.write_file(path, (listing.model_dump_json(indent=1) + "\n").encode())


def look(url: str) -> Listing:
    """What stands in the bucket now, sorted by name.

    Raises:
        UserError: it is no URL of a bucket.
        FatalError: it cannot be listed.
    """
    url = url.rstrip("/")
    protocol, separator, path = url.partition("://")
    if not separator or protocol not in PACKAGES or not path:
        known = " or ".join(f"{name}://" for name in PACKAGES)
        raise UserError(f"{url} is no folder of a bucket: it must begin with {known}")
    storage = _storage(protocol)
    try:
        storage.invalidate_cache()
        found: Mapping[str, Any] = storage.find(path, detail=True)
    except Exception as error:
        raise _unreachable(url, error) from None
    objects = {}
    for key, info in sorted(found.items()):
        name = key.removeprefix(f"{path}/")
        if info["type"] == "file" and name and not name.endswith("/"):
            objects[name] = _noted(info)
    return Listing(format="maskquery listing 1", url=url, objects=objects)


def _noted(info: Mapping[str, Any]) -> Noted:
    etag = info.get("ETag") or info.get("etag")  # of s3fs, of gcsfs
    return Noted(etag=str(etag).strip('"'), size=info["size"])


def _storage(protocol: str) -> Any:
    """Imported here: it takes a second, and is installed only where it is needed."""
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
    """Refuse a listing that says something else than the bucket holds; what is new there may be.

    Raises:
        UserError: naming the first object that has changed or gone.
        FatalError: the bucket cannot be listed.
    """
    noted = read(path)
    now = look(noted.url).objects
    for key, own in noted.objects.items():
        if now.get(key) != own:
            what = "changed" if key in now else "gone"
            raise UserError(f"{noted.url}/{key} has {what} since {path} was made", AGAIN)
