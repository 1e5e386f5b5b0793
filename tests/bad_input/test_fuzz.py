"""Whatever bytes stand in a file, its reader gives something sound or says what is wrong with it.

Bounded: some hundred files for each reader, seconds in all. `FUZZ=100 pytest tests/bad_input` reads
a hundred times as many.
"""

import io
import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.evaluation import ground_truth
from maskquery.images import archives, image_files
from maskquery.jobs import cache, cleaning
from maskquery.jobs.cells import Cells
from maskquery.masks import mask_store
from maskquery.masks.packed import ImagePredictions, check
from maskquery.tables import embedding_table, parquet, score_table
from stages import embeddings, masks
from tests.bad_input import packed
from tests.support.builders import ROOT, list_anew, masks_of, random_stack
from tests.support.pictures import P3, grey_icc, icc, tiff

pytestmark = pytest.mark.slow

bounded = settings(
    max_examples=300 * int(os.environ.get("FUZZ", "1")),
    derandomize="FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (9, 14, 3), np.uint8)


def picture(kind: str, image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = 6
    return made


COLOUR = Image.fromarray(PIXELS)
GREY = Image.fromarray(PIXELS[..., 0])
PICTURES = {
    "jpeg": picture("JPEG", COLOUR, exif=exif()),
    "progressive": picture("JPEG", COLOUR, progressive=True),
    "cmyk": picture("JPEG", COLOUR.convert("CMYK")),
    "png": picture("PNG", COLOUR, exif=exif()),
    "palette": picture("PNG", COLOUR.convert("P"), transparency=1),
    "16 bits": picture("PNG", Image.fromarray(PIXELS[..., 0].astype(np.uint16) << 7)),
    "1 bit": picture("PNG", COLOUR.convert("1")),
    "bmp": picture("BMP", COLOUR),
    "tiff": picture("TIFF", COLOUR, exif=exif()),
    "webp": picture("WEBP", COLOUR, exif=exif()),
    "profile": picture("PNG", COLOUR, icc_profile=icc(P3)),
    "profile of grey": picture("JPEG", GREY, icc_profile=grey_icc(1.8)),
    "profile, CMYK": picture("TIFF", COLOUR.convert("CMYK"), icc_profile=icc(P3)),
    "16 bits of colours": tiff(PIXELS.astype(np.uint16) << 3, photometric=2),
    "16 bits, 0 is white": tiff(PIXELS[..., 0].astype(np.uint16) << 3, photometric=0),
    "mpo": picture("MPO", COLOUR, save_all=True, append_images=[GREY]),
    "gif": picture("GIF", GREY, save_all=True, append_images=[GREY.rotate(90)]),
}


@st.composite
def damaged(draw: st.DrawFn, good: dict[str, bytes]) -> bytes:
    """Some of the files, with bytes changed, removed, added and repeated."""
    data = bytearray(good[draw(st.sampled_from(sorted(good)))])
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["flip", "set", "remove", "insert", "repeat", "cut"]))
        if kind == "flip" and data:
            data[place] ^= 1 << length % 8
        elif kind == "set" and data:
            data[place] = draw(st.sampled_from([0, 1, 127, 128, 255]))
        elif kind == "remove":
            del data[place : place + length]
        elif kind == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "repeat":
            data[place:place] = data[place : place + length]
        elif kind == "cut" and length < 4:
            del data[place:]
    return bytes(data)


def sound(read: Callable[[], Any]) -> Any:
    """What is read; None where the error is the one that is meant for users, and no other."""
    try:
        return read()
    except UserError:
        return None


@bounded
@given(damaged(PICTURES))
def test_images(data: bytes) -> None:
    header = sound(lambda: image_files.read_header(data, Path("room.png"), 100_000))
    found = sound(lambda: image_files.decode(data, Path("room.png"), 100_000))
    assert found is None or header is not None
    if found is not None:
        assert (found.dtype, found.ndim, found.shape[2]) == (np.uint8, 3, 3)
        assert found.shape[0] * found.shape[1] <= 100_000


MEMBERS = {"a.png": PICTURES["png"], "b/ü.bmp": PICTURES["bmp"][:90], f"{'c' * 110}.png": b"c"}
ARCHIVES = {
    "stored.zip": packed.zipped(MEMBERS),
    "deflated.zip": packed.zipped(MEMBERS, zipfile.ZIP_DEFLATED),
    "streamed.zip": packed.streamed(MEMBERS),
    "pax.tar": packed.tarred(MEMBERS),
    "gnu.tar": packed.tarred(MEMBERS, tarfile.GNU_FORMAT),
    "ustar.tar": packed.tarred({name: MEMBERS[name] for name in ("a.png", "b/ü.bmp")}),
}


@pytest.mark.parametrize("kind", [".zip", ".tar"])
@bounded
@given(st.data())
def test_archives(folder: Path, kind: str, data: st.DataObject) -> None:
    """No bytes but those of the archive come out, under names that lead nowhere."""
    own = {name: found for name, found in ARCHIVES.items() if name.endswith(kind)}
    path = folder / f"a{kind}"
    path.write_bytes(data.draw(damaged(own)))
    for member in sound(lambda: list(archives.members(path))) or []:
        assert member.name == PurePosixPath(member.name).as_posix()
        assert not {"..", "/"} & set(PurePosixPath(member.name).parts)
        found = sound(lambda member=member: image_files.read_bytes(member))
        assert found is None or len(found) == member.size


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


LABELS = {
    "int64": npy(np.arange(12).reshape(3, 4)),
    "uint8": npy(np.arange(12, dtype=np.uint8).reshape(3, 4)),
    "float": npy(np.ones((3, 4))),
    "fortran": npy(np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4))),
    "pickle": npy(np.array([{"a": 1}], object)),
}


@bounded
@given(damaged(LABELS))
def test_label_maps_as_npy(folder: Path, data: bytes) -> None:
    (folder / "a.npy").write_bytes(data)
    found = sound(lambda: ground_truth.read_labels(folder / "a.npy", {}))
    if found is not None:
        assert found.ndim == 2
        assert found.dtype.kind in "iu"


@bounded
@given(damaged(PICTURES), st.sampled_from([{}, {1: (0, 0, 0), 2: (255, 0, 0)}]))
def test_label_maps_as_pictures(
    folder: Path, data: bytes, palette: dict[int, tuple[int, int, int]]
) -> None:
    (folder / "a.png").write_bytes(data)
    found = sound(lambda: ground_truth.read_labels(folder / "a.png", palette))
    if found is not None:
        assert found.ndim == 2
        assert found.dtype.kind in "iu"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all examples: each writes its file anew."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module", autouse=True)
def root(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKQUERY_CACHE", str(folder / "cells"))
        yield


STACK = masks_of("room", random_stack(RNG, 2, 5, 11), sam={"model": "tiny"})
CELL = mask_store.encode(STACK)
PREDICTIONS = ImagePredictions(
    image="room",
    height=STACK.height,
    width=STACK.width,
    classes=("chair", "bed"),
    masks=STACK.masks,
    mask_count=2,
    chosen=(1, 2),
    ids=STACK.ids[[0, 0, 1]],
    scores=np.ones(3, np.float32),
)
KINDS = ("masks", "predictions")


def store_files(kind: str) -> dict[str, bytes]:
    """The manifest and the only shard of a store of one image."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "s"
        if kind == "masks":
            mask_store.MaskStore.write(folder, [STACK])
        else:
            mask_store.PredictionStore.write(folder, [PREDICTIONS])
        (shard,) = folder.glob("*.zip")
        return {"manifest": (folder / "zarr.json").read_bytes(), "shard": shard.read_bytes()}


STORES = {kind: store_files(kind) for kind in KINDS}


def read_store(kind: str, folder: Path) -> None:
    """Everything in it, sound."""
    if kind == "predictions":
        with mask_store.PredictionStore(folder) as predictions:
            for image in predictions.images():
                check(predictions.read(image))
        return
    with mask_store.MaskStore(folder) as store:
        for image in store.images():
            check(store.read(image))
            check(store.columns(image))


@pytest.mark.parametrize("kind", KINDS)
@bounded
@given(st.data())
def test_stores(folder: Path, kind: str, data: st.DataObject) -> None:
    """A damaged shard, which the manifest lists as it is; then a damaged manifest."""
    (folder / "zarr.json").write_bytes(STORES[kind]["manifest"])
    (folder / "3f.zip").write_bytes(data.draw(damaged({"shard": STORES[kind]["shard"]})))
    list_anew(folder)
    sound(lambda: read_store(kind, folder))
    (folder / "zarr.json").write_bytes(data.draw(damaged({"json": STORES[kind]["manifest"]})))
    sound(lambda: read_store(kind, folder))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**40) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", KINDS)
@bounded
@given(st.data())
def test_stores_of_other_programs(folder: Path, kind: str, data: st.DataObject) -> None:
    """Proper zip files and JSON, in which one value is anything; then the manifest."""
    with zipfile.ZipFile(io.BytesIO(STORES[kind]["shard"])) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = data.draw(st.sampled_from([name for name in entries if name.endswith("zarr.json")]))
    entries[name] = changed(entries[name], data)
    with zipfile.ZipFile(folder / "3f.zip", "w") as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    (folder / "zarr.json").write_bytes(STORES[kind]["manifest"])
    list_anew(folder)
    sound(lambda: read_store(kind, folder))
    (folder / "zarr.json").write_bytes(changed((folder / "zarr.json").read_bytes(), data))
    sound(lambda: read_store(kind, folder))


def changed(text: bytes, data: st.DataObject) -> bytes:
    """A JSON text in which one value is anything."""
    tree = json.loads(text)
    node: Any = tree
    while True:
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    return json.dumps(tree, separators=(",", ":")).encode()


def parquet_files() -> dict[str, bytes]:
    """Both tables, of two masks."""
    vectors = RNG.random((2, 1, 4)).astype(np.float32)
    rows = embedding_table.rows_of(STACK, ["crop"], vectors)
    scores = score_table.rows_of("room", STACK.ids, ["chair"], vectors[:, :, 0], vectors[:, :, 0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        embedding_table.write(path, [rows], 4, {"a": 1})
        found = {"embeddings": path.read_bytes()}
        score_table.write(path, [scores], ["chair"], {})
        return found | {"scores": path.read_bytes()}


TABLES = parquet_files()


@bounded
@given(damaged(TABLES))
def test_tables(folder: Path, data: bytes) -> None:
    (folder / "t.parquet").write_bytes(data)
    sound(lambda: list(embedding_table.read(folder / "t.parquet")))
    sound(lambda: score_table.read(folder / "t.parquet"))
    sound(lambda: parquet.read_metadata(folder / "t.parquet"))


TYPES = [
    *(pa.int8(), pa.uint64(), pa.float32(), pa.string(), pa.bool_(), pa.null(), parquet.NAME),
    *(pa.list_(pa.float32()), parquet.vector_type(pa.float32(), 2), pa.struct([("a", pa.int8())])),
]


@bounded
@given(data=st.data(), rows=st.integers(0, 3), footer=JSON)
def test_tables_of_other_programs(
    folder: Path, data: st.DataObject, rows: int, footer: Any
) -> None:
    """Proper Parquet with columns of the names that are looked for, of any type, with nulls."""
    names = data.draw(
        st.lists(
            st.sampled_from(["image", "mask_id", "view", "embedding", "class", "similarity"]),
            unique=True,
        )
    )
    fields = [pa.field(name, data.draw(st.sampled_from(TYPES))) for name in names]
    metadata = {b"maskquery": json.dumps(footer).encode()}
    schema = pa.schema(fields, metadata=metadata)
    arrays = [pa.nulls(rows, field.type) for field in fields]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), folder / "t.parquet")
    sound(lambda: list(embedding_table.read(folder / "t.parquet")))
    sound(lambda: score_table.read(folder / "t.parquet"))
    sound(lambda: parquet.read_metadata(folder / "t.parquet"))


PARAMS = {"params": (ROOT / "params.yaml").read_bytes()}


@bounded
@given(damaged(PARAMS) | st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_params(folder: Path, data: bytes) -> None:
    (folder / "params.yaml").write_bytes(data)
    for cls in (masks.Params, embeddings.Params):
        sound(lambda cls=cls: params.load(cls, folder / "params.yaml"))


@bounded
@given(st.binary(max_size=80) | damaged({"cell": CELL + bytes(32)}))
def test_cells(data: bytes) -> None:
    path = cache.cell("masks", cache.key("a"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    assert Cells("masks").read(cache.key("a")) is None


@bounded
@given(damaged({"lock": b"stages:\n  a:\n    outs:\n    - md5: " + b"0" * 32}) | st.binary())
def test_dvc_lock(data: bytes) -> None:
    for output in cleaning.outputs_of(data.decode(errors="replace")):
        assert set(output.removesuffix(".dir")) <= set("0123456789abcdef")
