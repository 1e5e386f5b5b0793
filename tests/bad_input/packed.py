"""Archives in a folder of images that are not as they should be, and what becomes of each."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.bad_input.corpus import PNG, Case, as_file, both, linked, png_that_claims


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def streamed(files: dict[str, bytes]) -> bytes:
    """A zip file that was written where nobody could go back: lengths stand behind the contents."""

    class Pipe(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            written.extend(data)
            return len(data)

    written = bytearray()
    with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in files.items():
            archive.writestr(name, data)
    return bytes(written)


def with_link(name: str, target: str) -> bytes:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, target)
    return buffer.getvalue()


def patched(data: bytes, place: int, value: int, length: int) -> bytes:
    """With a field of the (only) entry in the list of a zip file set; place: from its beginning."""
    start = data.index(b"PK\x01\x02") + place
    return data[:start] + value.to_bytes(length, "little") + data[start + length :]


def tarred(files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=kind) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def special(kind: bytes, target: str = "") -> bytes:
    """A tar with one entry that is no file."""
    entry = tarfile.TarInfo("case.png")
    entry.type, entry.linkname = kind, target
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as archive:
        archive.addfile(entry)
    return buffer.getvalue()


def put(data: bytes, name: str = "case.zip") -> Callable[[Path], object]:
    return as_file(name, data)


TWO = tarred({"case.png": PNG, "more.png": PNG}, tarfile.USTAR_FORMAT)
SECOND = TWO.index(b"more.png")  # where the header of the second file begins
DEFLATED = zipped({"case.png": PNG}, zipfile.ZIP_DEFLATED)
CUT = "cannot be read as an archive"

PACKED: dict[str, Case] = {
    "image in a .zip": Case(put(zipped({"case.png": PNG})), "processed"),
    "image in a .zip, deflated": Case(put(DEFLATED), "processed"),
    "image in a .zip that was written to a pipe": Case(
        put(streamed({"case.png": PNG})), "processed"
    ),
    "image in a .tar": Case(put(tarred({"case.png": PNG}), "case.tar"), "processed"),
    "image in a folder of a .tar in a folder": Case(
        put(tarred({"./a/case.png": PNG}), "deep/case.TAR"), "processed", image="a/case"
    ),
    "long and strange names in a .tar": Case(
        put(tarred({f"{'d' * 120}/部屋\n ü.png": PNG}, tarfile.GNU_FORMAT), "case.tar"),
        "processed",
        image=f"{'d' * 120}/部屋\n ü",
    ),
    "unicode in a name in a .zip": Case(
        put(zipped({"部屋 ü.png": PNG})), "processed", image="部屋 ü"
    ),
    "hidden file in an archive": Case(
        put(zipped({".case.png": PNG, "__MACOSX/._case.png": PNG})), "ignored"
    ),
    "archive without an image": Case(put(tarred({"case.txt": PNG}), "case.tar"), "ignored"),
    "archive in an archive": Case(put(zipped({"case.zip": zipped({"case.png": PNG})})), "ignored"),
    "hidden archive": Case(put(zipped({"case.png": PNG}), ".case.zip"), "ignored"),
    "no byte at all, in an archive": Case(put(zipped({"case.png": b""})), "failed", "it is empty"),
    "PNG that claims 60,000 x 60,000 pixels, in an archive": Case(
        put(tarred({"case.png": png_that_claims(60_000, 60_000)}), "case.tar"),
        "failed",
        "more than max_pixels",
    ),
    "encrypted": Case(
        put(patched(zipped({"case.png": PNG}), 8, 1, 2)), "failed", "is encrypted: pack it with"
    ),
    "compressed by bzip2": Case(
        put(zipped({"case.png": PNG}, zipfile.ZIP_BZIP2)),
        "failed",
        "in a way that is not read here",
    ),
    "wrong checksum in a .zip": Case(
        put(patched(DEFLATED, 16, 7, 4)), "failed", "its checksum is wrong"
    ),
    "file in a .zip that claims 3 GB": Case(
        put(patched(DEFLATED, 24, 3 * 10**9, 4)), "failed", "more than an image may have"
    ),
    "file in a .zip that is larger than it claims": Case(
        put(patched(DEFLATED, 24, 10, 4)), "failed", "its checksum is wrong"
    ),
    "file in a .zip that is said to stand behind its end": Case(
        put(patched(zipped({"case.png": PNG}), 20, 10**6, 4)),
        "failed",
        "the archive ends before it does",
    ),
    "file in a .zip at a wrong place": Case(
        put(patched(zipped({"case.png": PNG}), 42, 7, 4)), "failed", "cannot be read"
    ),
    "deflated file in a .zip with damaged bytes": Case(
        put(DEFLATED[:60] + b"\xff" * 20 + DEFLATED[80:]), "failed", "cannot be read"
    ),
    "truncated .zip": Case(put(zipped({"case.png": PNG})[:-30]), "refused", CUT),
    ".tar that ends in the midst of a file": Case(
        put(TWO[: SECOND - 700], "case.tar"), "refused", CUT
    ),
    ".tar that ends between two files": Case(put(TWO[:SECOND], "case.tar"), "refused", CUT),
    ".tar with a damaged header": Case(
        put(TWO[:SECOND] + b"x" + TWO[SECOND + 1 :], "case.tar"), "refused", CUT
    ),
    "two .tar in one file": Case(
        put(tarred({"case.png": PNG}) + tarred({"more.png": PNG}), "case.tar"),
        "refused",
        "behind its end is something else",
    ),
    "two .zip in one file": Case(
        put(zipped({"case.png": PNG}) + zipped({"more.png": PNG})),
        "refused",
        "begins with another archive",
    ),
    "name of 70,000 bytes in a .tar": Case(
        put(tarred({f"case.{'n' * 70_000}.png": PNG}), "case.tar"),
        "failed",
        "has a name of 70009 bytes, more than the 4096",
        image=f"case.{'n' * 70_000}",
    ),
    "archive of no byte": Case(put(b"", "case.tar"), "refused", CUT),
    "text with an archive's suffix": Case(put(b"dear diary"), "refused", CUT),
    "compressed .tar with the suffix of a .tar": Case(
        put(gzip.compress(TWO), "case.tar"), "refused", CUT
    ),
    ".tar.gz": Case(put(gzip.compress(TWO), "case.tar.gz"), "refused", "compressed as a whole"),
    "name with .. in an archive": Case(
        put(zipped({"../case.png": PNG})), "refused", "leads out of a folder"
    ),
    "name with .. in the midst, in a .tar": Case(
        put(tarred({"a/../../case.png": PNG}), "case.tar"), "refused", "leads out of a folder"
    ),
    "absolute name in an archive": Case(
        put(tarred({"/etc/case.png": PNG}), "case.tar"), "refused", "leads out of a folder"
    ),
    "name in a .tar that is not valid UTF-8": Case(
        put(tarred({"caf\udce9.png": PNG}, tarfile.USTAR_FORMAT), "case.tar"),
        "refused",
        r"caf\xe9.png: the name is not valid UTF-8",
    ),
    "name in a .zip that is not valid UTF-8": Case(
        put(zipped({"case.png": PNG}).replace(b"case.png", b"caf\xe9.png")),
        "refused",
        "not valid UTF-8",
    ),
    "link in a .zip": Case(
        put(with_link("case.png", "/etc/hostname")), "refused", "a link, or not a regular file"
    ),
    "link in a .tar": Case(
        put(special(tarfile.SYMTYPE, "/etc/hostname"), "case.tar"),
        "refused",
        "a link, or not a regular file",
    ),
    "hard link in a .tar": Case(
        put(special(tarfile.LNKTYPE, "good.png"), "case.tar"), "refused", "--hard-dereference"
    ),
    "pipe in a .tar": Case(
        put(special(tarfile.FIFOTYPE), "case.tar"), "refused", "a link, or not a regular file"
    ),
    "one image twice in an archive": Case(
        put(tarred({"case.png": PNG, "./case.png": PNG}), "case.tar"),
        "refused",
        "rename one",
    ),
    "one image in an archive and beside it": Case(
        both(put(zipped({"case.png": PNG})), as_file("case.jpg", PNG)), "refused", "rename one"
    ),
    "link to nothing with an archive's suffix": Case(
        linked("case.zip", "nowhere.zip"), "refused", "is not a file"
    ),
}
