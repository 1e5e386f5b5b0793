import io
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskquery.core.errors import UserError
from maskquery.images import image_files, sources

COLOURS = np.array(
    [[[250, 10, 20], [10, 240, 30], [0, 0, 255]], [[9, 9, 9], [90, 91, 92], [255] * 3]], np.uint8
)


def save(path: Path, mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(COLOURS).convert(mode).save(path, **options)
    return path


def test_images_are_found_in_all_folders_and_sorted_by_id(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "scan/a.tif", "scan/b.c.webp", "Z.bmp"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    save(tmp_path / ".hidden.png")
    save(tmp_path / ".folder" / "a.png")
    result = image_files.find(tmp_path)
    assert list(result) == ["Z", "a", "b", "scan/a", "scan/b.c"]
    assert result["scan/b.c"] == tmp_path / "scan/b.c.webp"


def test_two_files_of_one_stem_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "room.jpg")
    save(tmp_path / "room.png")
    with pytest.raises(UserError, match=r"room\.jpg and .*room\.png would both be image 'room'"):
        image_files.find(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="holds no images"):
        image_files.find(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder.*`images` in params\.yaml"):
        image_files.find(tmp_path / "nowhere")


def test_an_image_alone_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "Mein Bild.v2.PNG"
    Image.new("RGB", (4, 4)).save(path)
    Image.new("RGB", (4, 4)).save(tmp_path / "another.png")
    assert image_files.find(path) == {"Mein Bild.v2": path}
    assert image_files.name_of(path, path) == path.name
    assert sources.is_source(path)
    assert not sources.is_source(tmp_path / "none.png")


def test_a_link_to_an_image_is_an_image(tmp_path: Path) -> None:
    save(tmp_path / "cache" / "0a1b.png")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "room.png").symlink_to(tmp_path / "cache" / "0a1b.png")
    assert list(image_files.find(folder)) == ["room"]


def test_a_link_to_nothing_and_a_link_to_a_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    save(folder / "room.png")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"gone\.png is not a file"):
        image_files.find(folder)
    (folder / "gone.png").unlink()
    (folder / "more").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"more is a link to a folder"):
        image_files.find(folder)


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(path, "wb") as file:  # noqa: PTH123 - the name is no text
        file.write(b"")
    with pytest.raises(UserError, match=r"caf\\xe9\.png: the name is not valid UTF-8"):
        image_files.find(tmp_path)


def test_names_of_any_characters_are_ids(tmp_path: Path) -> None:
    names = ["-dash", "100%", "new\nline", "ünïcödé 部屋", "sp ace", "a.b.c"]
    for name in names:
        save(tmp_path / f"{name}.png")
    assert sorted(image_files.find(tmp_path)) == sorted(names)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_colours_come_back_as_they_are(tmp_path: Path, suffix: str) -> None:
    result = image_files.read(save(tmp_path / f"a{suffix}"))
    assert (result.dtype, result.shape) == (np.uint8, (2, 3, 3))
    np.testing.assert_array_equal(result, COLOURS)


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    grey = np.array(Image.fromarray(COLOURS).convert("L"))
    result = image_files.read(save(tmp_path / "a.png", "L"))
    np.testing.assert_array_equal(result, np.repeat(grey[..., None], 3, axis=-1))


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[True, False]])).save(path)
    np.testing.assert_array_equal(image_files.read(path), [[[255] * 3, [0] * 3]])


def test_sixteen_bits_are_cut_to_the_upper_eight(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 0x1234, 0xFFFF]], np.uint16)).save(path)
    np.testing.assert_array_equal(image_files.read(path)[0, :, 0], [0, 0x12, 0xFF])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_stands_on_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    pixels = np.array([[[100, 100, 100, 0], [100, 100, 100, 255], [100, 100, 100, 51]]], np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    np.testing.assert_array_equal(image_files.read(path)[0, :, 0], [255, 100, 224])


def test_indexed_colours_are_looked_up_and_may_be_transparent(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    indexed.putpalette([255, 0, 0, 0, 255, 0])
    indexed.save(path, transparency=1)
    np.testing.assert_array_equal(image_files.read(path), [[[255, 0, 0], [255, 255, 255]]])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(path)
    np.testing.assert_array_equal(image_files.read(path), [[[255, 0, 0], [255, 0, 0]]])


def test_32_bit_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.new("F", (2, 1)).save(path)
    with pytest.raises(UserError, match=r"a\.tif cannot be read as an image \(it has 1 band of 32"):
        image_files.read(path)


TURNED = {  # what each EXIF orientation makes of a picture
    1: COLOURS,
    2: COLOURS[:, ::-1],
    3: COLOURS[::-1, ::-1],
    4: COLOURS[::-1],
    5: COLOURS.transpose(1, 0, 2),
    6: np.rot90(COLOURS, -1),
    7: COLOURS[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(COLOURS),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", exif=exif, **options)
    np.testing.assert_array_equal(image_files.read(path), TURNED[orientation])
    assert image_files.size(path) == TURNED[orientation].shape[:2]


def test_the_size_is_that_of_the_decoded_image(tmp_path: Path) -> None:
    for name, mode in [("a.jpg", "L"), ("b.bmp", "RGB"), ("c.png", "P")]:
        path = save(tmp_path / name, mode)
        assert image_files.size(path) == image_files.read(path).shape[:2] == (2, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_half_a_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    path = tmp_path / "room.png"
    path.write_bytes(buffer.getvalue())
    assert image_files.read(path).shape == (40, 40, 3)
    for length in (1, 10, len(buffer.getvalue()) // 2, len(buffer.getvalue()) - 100):
        path.write_bytes(buffer.getvalue()[:length])
        with pytest.raises(UserError, match=r"room\.png cannot be read as an image"):
            image_files.read(path)


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "room.jpg").touch()
    for read in (image_files.read, image_files.size):
        with pytest.raises(
            UserError, match=r"room\.jpg cannot be read as an image \(it is empty\)"
        ):
            read(tmp_path / "room.jpg")


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png")
    assert image_files.read(path, max_pixels=6).shape == (2, 3, 3)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(UserError, match=r"a\.png has 3 x 2 pixels, more than max_pixels \(5\)"):
        image_files.read(path, max_pixels=5)


def test_a_picture_is_the_same_from_its_bytes(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    result = image_files.decode(image_files.read_bytes(path), path, None)
    np.testing.assert_array_equal(result, COLOURS)


def test_a_message_holds_nothing_that_differs_from_run_to_run(tmp_path: Path) -> None:
    messages = set()
    for _ in range(3):
        with pytest.raises(UserError) as error:
            image_files.decode(b"\1\2" * 9, tmp_path / "a.png", None)
        messages.add(str(error.value))
    [message] = messages
    assert "a.png cannot be read as an image (it is not an image of a known format)" in message


def test_a_file_that_has_gone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png cannot be read \(No such file or directory\)"):
        image_files.read(tmp_path / "a.png")


@pytest.mark.parametrize("change", ["came", "went", "changed", "replaced"])
def test_images_are_watched(tmp_path: Path, change: str) -> None:
    for name in "ab":
        save(tmp_path / f"{name}.png")
    watched = image_files.WatchedSource(tmp_path)
    watched.expect_unchanged()
    name = "c" if change == "came" else "b"
    if change == "went":
        (tmp_path / "b.png").unlink()
    elif change == "replaced":
        (tmp_path / "a.png").replace(tmp_path / "b.png")
        save(tmp_path / "a.png")
        name = "a"
    else:
        save(tmp_path / f"{name}.png", "L")
    with pytest.raises(
        UserError, match=rf"{name}\.png was added, removed or changed while the stage ran"
    ):
        watched.expect_unchanged()


def test_a_file_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(image_files.MAX_BYTES + 1)  # takes no room
    with pytest.raises(UserError, match=r"a\.png has 1073741825 bytes, more than an image"):
        image_files.read_bytes(tmp_path / "a.png")


@pytest.mark.parametrize("change", ["grew", "went", "replaced"])
def test_archives_are_watched(tmp_path: Path, change: str) -> None:
    folder, path = tmp_path / "images", tmp_path / "images/all.zip"
    save(folder / "a.png")
    save(tmp_path / "b.png")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "b.png", "b.png")
    watched = image_files.WatchedSource(folder)
    watched.expect_unchanged()
    if change == "grew":
        with zipfile.ZipFile(path, "a") as archive:
            archive.write(tmp_path / "b.png", "c.png")
    elif change == "went":
        path.unlink()
    else:
        shutil.copyfile(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
    with pytest.raises(UserError, match=r"all\.zip/b\.png was added, removed or changed while"):
        watched.expect_unchanged()


def test_an_archive_that_is_cut_off_while_it_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    for name, kind in (("all.zip", "zip"), ("all.tar", "tar")):
        path = tmp_path / name
        shutil.make_archive(str(path.with_suffix("")), kind, tmp_path, "a.png")
        [file] = image_files.find(path).values()
        os.truncate(path, 600)
        with pytest.raises(UserError, match=r"a\.png cannot be read \(the archive ends"):
            image_files.read(file)
        path.unlink()
        with pytest.raises(UserError, match=r"a\.png cannot be read \(No such file"):
            image_files.read(file)


def test_pictures_of_kinds_that_are_not_read_are_counted(tmp_path: Path) -> None:
    for name in ("a.png", "b.HEIC", "c.gif", "d/e.heic", "notes.txt", ".hidden.gif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / name, "PNG")
    watched = image_files.WatchedSource(tmp_path)
    assert list(watched.paths) == ["a"]
    assert watched.others == {".heic": 2, ".gif": 1}


def test_a_folder_of_other_kinds_alone_says_which(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.ppm", "c.HIF"):
        (tmp_path / name).touch()
    with pytest.raises(
        UserError, match=r"holds no images \(.*\), but 3 pictures of kinds that are "
    ):
        image_files.find(tmp_path)
