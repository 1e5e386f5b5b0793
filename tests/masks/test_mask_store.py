import hashlib
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from maskquery.core.errors import UserError
from maskquery.masks import mask_store, zarr_zip
from maskquery.masks.mask_store import MaskStore, PredictionStore
from maskquery.masks.packed import (
    DTYPES,
    MASK_ARRAYS,
    ImageMasks,
    ImagePredictions,
    MaskColumns,
    pack,
)
from tests.support.builders import list_anew, masks_of, random_stack

RNG = np.random.default_rng(0)
ODD_IDS = [
    "-dash",
    "100%",
    "new\nline",
    "部屋 ü",
    "a/b",
    "a%2Fb",
    ".",
    "..",
    "__x",
    "zarr.json",
    "c",
]


def room(image: str, count: int = 3, height: int = 5, width: int = 13) -> ImageMasks:
    rng = np.random.default_rng(list(image.encode()))
    return masks_of(image, random_stack(rng, count, height, width), room="kitchen")


def assert_equal(result: MaskColumns, expected: MaskColumns) -> None:
    for name, value in vars(result).items():
        if isinstance(value, np.ndarray):
            assert value.dtype == getattr(expected, name).dtype
            np.testing.assert_array_equal(value, getattr(expected, name))
        else:
            assert value == getattr(expected, name)


def write(folder: Path, groups: Iterable[ImageMasks]) -> None:
    groups = {group.image: group for group in groups}
    MaskStore.write(folder, [groups[image] for image in mask_store.shard_order(groups)])


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 20)),
        min_size=1,
        max_size=6,
    )
)
def test_what_was_written_is_read(shapes: dict[str, tuple[int, int, int]]) -> None:
    rooms = {image: room(image, *shape) for image, shape in shapes.items()}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "masks.zarr")
        write(folder, rooms.values())
        with MaskStore(folder) as store:
            assert store.images() == sorted(rooms)
            for image, expected in rooms.items():
                assert_equal(store.read(image), expected)
                assert vars(store.columns(image)).keys() == vars(expected).keys() - {"masks"}
                assert_equal(store.columns(image), expected)


def read_with_zarr(path: Path) -> dict[str, tuple[dict[str, object], dict[str, npt.NDArray]]]:
    with zarr.storage.ZipStore(path, mode="r") as store:
        shard = zarr.open_group(store, mode="r")
        return {
            name: (dict(group.attrs), {key: array[:] for key, array in group.arrays()})
            for name, group in shard.groups()
        }


def test_plain_zarr_reads_the_same(tmp_path: Path) -> None:
    rooms = [room("empty", 0), *(room(image) for image in ODD_IDS)]
    write(tmp_path / "masks.zarr", rooms)
    result = {}
    for path in (tmp_path / "masks.zarr").glob("*.zip"):
        for name, group in read_with_zarr(path).items():
            assert path.stem == mask_store.shard_of(unquote(name))
            result[unquote(name)] = group
    assert result.keys() == {group.image for group in rooms}
    for expected in rooms:
        attributes, arrays = result[expected.image]
        size = {"image": expected.image, "height": 5, "width": 13}
        assert attributes == {**size, "room": "kitchen"}
        assert arrays.keys() == set(MASK_ARRAYS)
        for name, array in arrays.items():
            assert array.dtype == DTYPES[name]
            np.testing.assert_array_equal(array, getattr(expected, name))


def test_plain_zarr_reads_stacks_of_several_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zarr_zip, "CHUNK_BYTES", 40)  # 4 masks of 5 x 2 bytes
    expected = room("room", 9)
    write(tmp_path / "masks.zarr", [expected])
    path = next((tmp_path / "masks.zarr").glob("*.zip"))
    with zipfile.ZipFile(path) as archive:
        chunks = [name for name in archive.namelist() if name.startswith("room/masks/c/")]
    assert len(chunks) == 3
    np.testing.assert_array_equal(read_with_zarr(path)["room"][1]["masks"], expected.masks)
    assert_equal(MaskStore(tmp_path / "masks.zarr").read("room"), expected)


def test_predictions_are_read_here_and_by_plain_zarr(tmp_path: Path) -> None:
    planes = pack(random_stack(RNG, 2, 5, 13))
    ids, scores = np.array([7, 2**63], np.uint64), np.array([0.5, 0.25], np.float32)
    expected = ImagePredictions("room", 5, 13, ("chair", "sofa"), planes, 7, (2, 0), ids, scores)
    PredictionStore.write(tmp_path / "predictions.zarr", [expected])
    result = PredictionStore(tmp_path / "predictions.zarr").read("room")
    np.testing.assert_array_equal(result.masks, planes)
    assert result.ids.tolist() == ids.tolist()
    assert result.scores.tolist() == scores.tolist()
    assert (result.image, result.height, result.width) == ("room", 5, 13)
    assert (result.classes, result.mask_count, result.chosen) == (("chair", "sofa"), 7, (2, 0))
    attributes, arrays = read_with_zarr(next((tmp_path / "predictions.zarr").glob("*.zip")))["room"]
    assert attributes["classes"] == ["chair", "sofa"]
    np.testing.assert_array_equal(arrays["masks"], planes)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same_shard(count: int) -> list[str]:
    images = (f"room_{number}" for number in range(10_000))
    return [image for image in images if mask_store.shard_of(image) == "00"][:count]


def test_bytes_depend_on_the_images_and_not_on_their_order(tmp_path: Path) -> None:
    rooms = [room(image) for image in same_shard(4)]
    MaskStore.write(tmp_path / "a", rooms)
    MaskStore.write(tmp_path / "b", rooms[::-1])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_bytes_do_not_depend_on_the_time(tmp_path: Path) -> None:
    with zipfile.ZipFile(_one_file(tmp_path)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_changed_image_changes_one_file_and_the_manifest(tmp_path: Path) -> None:
    images = [f"room_{number}" for number in range(60)]
    write(tmp_path / "a", [room(image) for image in images])
    write(tmp_path / "b", [room(image, 4 if image == "room_7" else 3) for image in images])
    before, after = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"{mask_store.shard_of('room_7')}.zip", "zarr.json"}


def test_a_new_store_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    write(tmp_path / "masks.zarr", [room("a"), room("b")])
    write(tmp_path / "masks.zarr", [room("c")])
    assert MaskStore(tmp_path / "masks.zarr").images() == ["c"]


def test_a_failure_midway_leaves_the_old_store(tmp_path: Path) -> None:
    def broken() -> Iterable[ImageMasks]:
        yield room("b")
        raise RuntimeError

    write(tmp_path / "masks.zarr", [room("a")])
    with pytest.raises(RuntimeError):
        MaskStore.write(tmp_path / "masks.zarr", broken())
    assert MaskStore(tmp_path / "masks.zarr").images() == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["masks.zarr"]


def test_images_that_come_out_of_order_or_twice_are_refused(tmp_path: Path) -> None:
    images = mask_store.shard_order(["a", "b", "c"])
    with pytest.raises(ValueError, match="shard_order"):
        MaskStore.write(tmp_path / "s", [room(image) for image in [*images, images[0]]])
    with pytest.raises(ValueError, match="'a' is given twice"):
        MaskStore.write(tmp_path / "s", [room("a"), room("a")])


def test_a_group_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="areas is float64"):
        MaskStore.write(tmp_path / "s", [replace(room("a"), areas=np.ones(3))])


def test_columns_are_read_without_the_masks(tmp_path: Path) -> None:
    path = _one_file(tmp_path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("room/masks/c/0/0/0")
    start = entry.header_offset + 30 + len(entry.filename)
    data[start + 5] ^= 0xFF
    path.write_bytes(data)
    store = MaskStore(path.parent)
    assert_equal(store.columns("room"), room("room"))
    with pytest.raises(UserError, match=r"\.zip, image 'room' cannot be read \(.*Bad CRC-32"):
        store.read("room")


def _one_file(tmp_path: Path) -> Path:
    write(tmp_path / "masks.zarr", [room("room")])
    return next((tmp_path / "masks.zarr").glob("*.zip"))


def test_every_flipped_byte_is_noticed_or_does_no_harm(tmp_path: Path) -> None:
    path, expected = _one_file(tmp_path), room("room")
    good = path.read_bytes()
    for position in range(0, len(good), 5):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x55]) + good[position + 1 :])
        try:
            result = MaskStore(path.parent).read("room")
        except UserError as error:
            assert str(path.parent) in str(error)  # noqa: PT017 - harmless flips raise nothing
        else:
            assert_equal(result, expected)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = _one_file(tmp_path)
    good = path.read_bytes()
    for length in range(0, len(good), 97):
        path.write_bytes(good[:length])
        with pytest.raises(UserError, match=rf"{path.name} cannot be read.*delete .*dvc repro"):
            MaskStore(path.parent)


def rewrite(path: Path, name: str, data: bytes | None) -> None:
    """Replace or remove an entry and leave a proper zip file."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    if data is None:
        del entries[name]
    else:
        entries[name] = data
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    list_anew(path.parent)


FOREIGN = {
    "no metadata": ("room/ids/zarr.json", None, "room/ids/zarr.json is missing"),
    "no chunk": ("room/masks/c/0/0/0", None, "room/masks/c/0/0/0 is missing"),
    "not JSON": ("room/ids/zarr.json", b"{", "ids: "),
    "no JSON object": ("room/ids/zarr.json", b"[]", "not a JSON object"),
    "empty object": ("room/ids/zarr.json", b"{}", "ids: 'shape'"),
    "not zstd": ("room/masks/c/0/0/0", b"0123456789", "masks: "),
    "other attributes": (
        "room/zarr.json",
        b'{"attributes":{"image":"b"}}',
        "attributes do not fit",
    ),
    "no attributes": ("room/zarr.json", b"{}", "zarr.json has no attributes"),
    "a text for a number": (
        "room/zarr.json",
        b'{"attributes":{"image":"room","height":"5","width":13}}',
        "attributes do not fit",
    ),
    "another size": (
        "room/zarr.json",
        b'{"attributes":{"image":"room","height":6,"width":13}}',
        "for 13 x 6 pixels",
    ),
}


@pytest.mark.parametrize(("name", "data", "message"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_store_that_something_else_wrote_is_refused(
    tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    path = _one_file(tmp_path)
    rewrite(path, name, data)
    with pytest.raises(UserError) as error:
        MaskStore(path.parent).read("room")
    assert message in str(error.value)
    assert f"{path}, image 'room'" in str(error.value)


def test_masks_are_no_predictions(tmp_path: Path) -> None:
    folder = _one_file(tmp_path).parent
    with pytest.raises(UserError, match=r"not of the format 'maskquery predictions 1'.*dvc repro"):
        PredictionStore(folder)


def two_files(tmp_path: Path, folder: str = "masks.zarr", count: int = 3) -> list[Path]:
    """The files of a store of three images, of which the second file holds two."""
    images = [f"room_{number}" for number in range(3000)]
    images = [i for i in images if mask_store.shard_of(i) == "07"][:1] + [
        i for i in images if mask_store.shard_of(i) == "3f"
    ][:2]
    write(tmp_path / folder, [room(image, count) for image in images])
    return sorted((tmp_path / folder).glob("*.zip"))


def test_the_folder_is_a_group_that_tells_of_its_files(tmp_path: Path) -> None:
    (first, second) = two_files(tmp_path)
    attributes = zarr.open_group(tmp_path / "masks.zarr", mode="r").attrs.asdict()
    assert attributes["format"] == "maskquery masks 1"
    assert attributes["images"] == 3
    assert attributes["shards"].keys() == {first.name, second.name}
    for path, count in ((first, 1), (second, 2)):
        listed = attributes["shards"][path.name]
        with zipfile.ZipFile(path) as archive:
            directory = path.read_bytes()[archive.start_dir :]
        assert listed == {
            "images": count,
            "directory_sha256": hashlib.sha256(directory).hexdigest(),
        }


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (first, second) = two_files(tmp_path)
    first.unlink()
    with pytest.raises(UserError, match=rf"{first} is missing: run `dvc repro`$"):
        MaskStore(tmp_path / "masks.zarr")
    second.unlink()
    with pytest.raises(UserError, match=rf"{first} is missing, and so are 1 more .*dvc repro"):
        MaskStore(tmp_path / "masks.zarr")


def test_a_file_too_many_is_named(tmp_path: Path) -> None:
    (first, _) = two_files(tmp_path)
    extra = first.with_name("aa.zip")
    extra.write_bytes(first.read_bytes())
    with pytest.raises(UserError, match=rf"{extra} cannot be read .*does not list.*dvc repro"):
        MaskStore(tmp_path / "masks.zarr")


def test_a_file_of_another_store_is_named(tmp_path: Path) -> None:
    """Be it of the same images, or one of its own under another name."""
    (first, second), (other, _) = two_files(tmp_path), two_files(tmp_path, "other", count=4)
    good = first.read_bytes()
    for exchanged in (other, second):
        first.write_bytes(exchanged.read_bytes())
        with pytest.raises(UserError, match=rf"{first} cannot be read .*other contents.*dvc repro"):
            MaskStore(tmp_path / "masks.zarr")
        first.write_bytes(good)
    assert len(MaskStore(tmp_path / "masks.zarr").images()) == 3


def test_without_its_manifest_a_store_is_refused(tmp_path: Path) -> None:
    """So are stores of older versions, which had none."""
    folder = two_files(tmp_path)[0].parent
    (folder / "zarr.json").unlink()
    with pytest.raises(UserError, match=rf"{folder} has files, but no zarr.json .*dvc repro"):
        MaskStore(folder)


def test_a_store_of_no_image_is_refused(tmp_path: Path) -> None:
    assert MaskStore.write(tmp_path / "s", []) == 0
    with pytest.raises(UserError, match="s holds no images: run `dvc repro`"):
        MaskStore(tmp_path / "s")


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere holds no images: run `dvc repro`"):
        MaskStore(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no image 'hall'"):
        MaskStore(_one_file(tmp_path).parent).read("hall")


def test_a_cell_holds_the_masks_of_any_image(tmp_path: Path) -> None:
    assert mask_store.encode(room("room")) == mask_store.encode(replace(room("room"), image=""))
    encoded = mask_store.decode(mask_store.encode(room("room")), "hall")
    assert (encoded.image, encoded.count) == ("hall", 3)
    MaskStore.write(tmp_path / "s", [encoded])
    assert_equal(MaskStore(tmp_path / "s").read("hall"), replace(room("room"), image="hall"))


def test_a_cell_of_an_older_version_is_decoded(tmp_path: Path) -> None:
    """It had another format's name at its root, and a comment."""
    cell = zarr_zip.zip_groups(
        zarr_zip.unzip_groups(mask_store.encode(room("room"))), {"format": "retrieval masks 1"}
    ).data
    comment = b"directory sha256 " + b"0" * 64
    cell = cell[:-2] + len(comment).to_bytes(2, "little") + comment
    MaskStore.write(tmp_path / "s", [mask_store.decode(cell, "room")])
    assert_equal(MaskStore(tmp_path / "s").read("room"), room("room"))


def test_what_was_encoded_alone_is_stored_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Under its new name, byte by byte, without being compressed again."""
    groups = [room(image, count) for count, image in enumerate(["a", *ODD_IDS])]
    encoded = [mask_store.encode(replace(group, image="image")) for group in groups]
    write(tmp_path / "from groups", groups)
    records = [
        mask_store.decode(data, group.image) for group, data in zip(groups, encoded, strict=True)
    ]
    write(tmp_path / "from cells", records)
    for path in (tmp_path / "from groups").iterdir():
        assert path.read_bytes() == (tmp_path / "from cells" / path.name).read_bytes()
    assert [group.count for group in records] == [len(group.ids) for group in groups]


def test_few_files_are_kept_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_store, "OPEN_SHARDS", 2)
    images = [f"room_{number}" for number in range(20)]
    write(tmp_path / "masks.zarr", [room(image) for image in images])
    with MaskStore(tmp_path / "masks.zarr") as store:
        for image in images + images[::-1]:
            assert store.columns(image).ids.tolist() == room(image).ids.tolist()
            assert len(store._open) <= 2
    assert not store._open


def test_group_names_are_decoded_by_unquote_and_allowed_in_zarr() -> None:
    for image in ODD_IDS:
        name = mask_store.group_name(image)
        assert unquote(name) == image
        assert "/" not in name
        assert not name.startswith((".", "__"))
    assert mask_store.group_name("room_0007") == "room_0007"
