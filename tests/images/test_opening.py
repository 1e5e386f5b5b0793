"""Which image files are opened, and what their headers may ask for."""

import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskquery.core.errors import UserError
from maskquery.images import archives, image_files, kinds, opening
from tests.support.pictures import encoded, tiff

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8))


@pytest.mark.parametrize("kind", ["BMP", "JPEG", "MPO", "PNG", "TIFF", "WEBP"])
def test_the_formats_that_are_read(kind: str) -> None:
    assert image_files.decode(encoded(PICTURE, kind), Path("a.png"), None).shape == (12, 17, 3)


@pytest.mark.parametrize(
    "kind", ["AVIF", "DDS", "EPS", "GIF", "ICNS", "ICO", "JPEG2000", "PCX", "PDF", "PPM", "SGI"]
)
def test_no_other_is(kind: str) -> None:
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image \(it is"):
        image_files.decode(encoded(PICTURE, kind), Path("a.png"), None)


def test_nothing_else_in_the_library_opens_pictures() -> None:
    root = Path(opening.__file__).parents[2]
    texts = {path: path.read_text() for path in [*root.glob("maskquery/**/*.py")]}
    assert {p.name for p, text in texts.items() if "Image.open(" in text} == {"opening.py"}
    assert not [p for p, text in texts.items() if "cv2.imread" in text]


def test_postscript_runs_no_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / "case.png").write_bytes(encoded(PICTURE, "EPS"))
    with pytest.raises(UserError, match="it is PostScript; read are BMP"):
        image_files.read(tmp_path / "case.png")
    assert not (tmp_path / "ran").exists()


def test_an_icon_does_not_hide_a_large_picture() -> None:
    """A PNG of 20,000 x 20,000 in an ICO of 16 x 16 took 1.6 GB."""
    inner = encoded(Image.new("1", (3000, 3000)))
    head = b"\0\0\1\0\1\0" + bytes([16, 16, 0, 0, 1, 0, 32, 0])
    icon = head + len(inner).to_bytes(4, "little") + (22).to_bytes(4, "little") + inner
    with pytest.raises(UserError, match=r"it is an icon \(ICO\)"):
        image_files.decode(icon, Path("a.png"), 1000)


def test_tiles_may_not_be_larger_than_the_picture() -> None:
    grey = np.zeros((12, 17), np.uint8)
    with pytest.raises(UserError, match="its tiles have 60000 x 60000 pixels"):
        image_files.decode(tiff(grey, tag322=60_000, tag323=60_000), Path("a.tif"), 1000)


def test_a_webp_may_not_claim_more_than_max_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow takes memory for all pixels when it opens one."""
    data = bytearray(encoded(PICTURE, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"))
    assert data[12:16] == b"VP8X"
    data[24:30] = b"\xff\x3f\0" * 2
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UserError, match="has 16384 x 16384 pixels, more than max_pixels"):
        image_files.decode(bytes(data), Path("a.webp"), 1_000_000)


@pytest.mark.parametrize(("tag", "value"), [("tag254", 1), ("tag50706", 1)])
def test_a_raw_file_is_not_taken_for_its_small_picture(tag: str, value: int) -> None:
    with pytest.raises(UserError, match="it is a camera's raw file"):
        image_files.decode(tiff(np.zeros((3, 4), np.uint8), **{tag: value}), Path("a.tif"), None)


def specials(folder: Path) -> dict[str, Path]:
    """Things of the file system that are no files, called as pictures are."""
    os.mkfifo(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as unix, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the name of a socket is short
        unix.bind("socket.png")
    return {path.stem: path for path in folder.iterdir()}


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    for kind, path in specials(tmp_path).items():
        for read in (image_files.read, image_files.size, image_files.read_bytes):
            with pytest.raises(UserError, match=rf"{kind}\.png is not a file, but a {kind}"):
                read(path)


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
@pytest.mark.parametrize("name", ["case.png", "case.zip", "case.tar", "case.txt", "case"])
def test_nor_may_it_stand_in_a_folder(tmp_path: Path, kind: str, name: str) -> None:
    """Whatever its name is: DVC opens all that is there."""
    (tmp_path / "specials").mkdir()
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(encoded(PICTURE))
    path = specials(tmp_path / "specials")[kind]
    if path.is_symlink():
        (folder / name).symlink_to("/dev/zero")
    else:
        path.rename(folder / name)
    with pytest.raises(UserError, match=rf"{name} is not a file, but a {kind}.*DVC would wait"):
        image_files.find(folder)


def test_an_archive_that_became_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PICTURE))
    for kind in ("zip", "tar"):
        path = tmp_path / f"all.{kind}"
        shutil.make_archive(str(path.with_suffix("")), kind, tmp_path, "a.png")
        [member] = archives.members(path)
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(UserError, match=rf"all\.{kind} is not a file, but a pipe"):
            image_files.read(member)
        path.unlink()


def test_formats_are_those_that_are_told() -> None:
    assert all(name.lower() in kinds.READ.lower() for name in kinds.FORMATS)
