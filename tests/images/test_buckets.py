"""Images in a bucket, of a real server on this machine."""

import io
import itertools
import json
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
import yaml
import zarr
from PIL import Image

from maskquery.clip import job as clip_work
from maskquery.core import params
from maskquery.core.errors import FatalError, UserError
from maskquery.formats import list_images, pack
from maskquery.images import buckets, image_files
from maskquery.masks.mask_store import MaskStore, group_name, shard_of
from maskquery.sam import job as sam_work
from stages import embeddings, masks
from tests.support import standin
from tests.support.bucket import Bucket, serving
from tests.support.project import PARAMS
from tests.support.repository import PIPELINE, Repository

NUMBERS = itertools.count()
NAMES = ("a.png", "b/c d.PNG", "b/ü.png")


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    with serving("photos") as bucket:
        yield bucket


@pytest.fixture
def url(server: Bucket) -> str:
    """A folder of its own for each test, with three images."""
    prefix = f"mine-{next(NUMBERS)}"
    for number, name in enumerate(NAMES):
        server.put(f"{prefix}/{name}", picture(number))
    server.put(f"{prefix}/.hidden.png", picture(9))
    server.put(f"{prefix}/notes.txt", b"dear diary")
    return f"s3://photos/{prefix}"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_work, "load", standin.find_masks)
    monkeypatch.setattr(clip_work, "load", standin.encode_crops)
    monkeypatch.setenv("STANDIN_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (12, 17, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def key_of(url: str, name: str) -> str:
    return f"{url.removeprefix('s3://photos/')}/{name}"


def run_both(source: Path, out: Path, on_error: str = "fail") -> dict[str, bytes]:
    """Both stages; their files."""
    values: dict[str, Any] = {**PARAMS, "images": str(source), "on_error": on_error}
    values["clip"] = values["clip"] | {"views": ("crop",)}

    def params_of(cls: Any) -> Any:
        return cls.model_validate({key: values[key] for key in cls.model_fields})

    masks.run(out / "masks.zarr", out / "failures.json", params_of(masks.Params))
    embeddings.run(out / "masks.zarr", out / "embeddings.parquet", params_of(embeddings.Params))
    return {p.name: p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_a_bucket_is_listed_and_its_images_are_found(url: str, tmp_path: Path) -> None:
    listing = tmp_path / "images.json"
    line = list_images.run(f"{url}/", listing)
    assert line == f"list_images: 3 images in {listing}; 5 objects new, 0 gone, 0 changed"
    files = image_files.find(listing)
    assert list(files) == ["a", "b/c d", "b/ü"]
    assert str(files["b/c d"]) == f"{url}/b/c d.PNG"
    assert image_files.read_bytes(files["a"]) == picture(0)
    assert image_files.size(files["a"]) == image_files.read(files["a"]).shape[:2] == (12, 17)
    assert image_files.name_of(files["b/c d"], listing) == "b/c d.PNG"
    before = listing.read_bytes()
    list_images.run(url, listing)
    assert listing.read_bytes() == before


def test_results_are_those_of_a_folder_to_the_byte(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(NAMES):
        path = tmp_path / "loose" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    loose = run_both(tmp_path / "loose", tmp_path / "1")
    listing = tmp_path / "images.json"
    list_images.run(url, listing)
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "other cells"))
    assert run_both(listing, tmp_path / "2") == loose
    assert len((tmp_path / "log").read_text().splitlines()) == 4 * len(NAMES)

    monkeypatch.setattr(buckets.Object, "read_bytes", lambda file: pytest.fail(f"fetched {file}"))
    assert run_both(listing, tmp_path / "3") == loose, "nothing is fetched that has its cells"


def test_a_new_limit_on_pixels_holds_for_what_was_fetched_before(url: str, tmp_path: Path) -> None:
    listing = tmp_path / "images.json"
    list_images.run(url, listing)
    run_both(listing, tmp_path / "1")
    values = {**PARAMS, "images": str(listing), "max_pixels": 12 * 17 - 1}
    params = masks.Params.model_validate({key: values[key] for key in masks.Params.model_fields})
    with pytest.raises(UserError, match=r"3 of 3 images failed.*more than max_pixels"):
        masks.run(tmp_path / "masks.zarr", tmp_path / "failures.json", params)


def test_what_changed_since_it_was_listed_is_refused(
    url: str, server: Bucket, tmp_path: Path
) -> None:
    listing = tmp_path / "images.json"
    list_images.run(url, listing)
    server.put(key_of(url, "new.png"), picture(5))
    assert run_both(listing, tmp_path / "1"), "what is new in the bucket does not matter"
    server.put(key_of(url, "a.png"), picture(6))
    with pytest.raises(UserError, match=r"a\.png has changed since .*images\.json was made: list"):
        run_both(listing, tmp_path / "2")
    with pytest.raises(UserError, match=r"a\.png has changed since it was listed"):
        image_files.read(image_files.find(listing)["a"])
    server.remove(key_of(url, "a.png"))
    with pytest.raises(UserError, match=r"a\.png was removed since"):
        run_both(listing, tmp_path / "2")
    with pytest.raises(UserError, match=r"a\.png was removed: list the bucket again"):
        image_files.read(image_files.find(listing)["a"])
    assert list_images.run(url, listing).endswith("1 objects new, 1 gone, 0 changed")
    assert run_both(listing, tmp_path / "2").keys() > {"embeddings.parquet"}
    assert list(image_files.find(listing)) == ["b/c d", "b/ü", "new"]


def test_what_changes_while_the_stage_runs_ends_it(
    url: str, server: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "images.json"
    list_images.run(url, listing)
    read_bytes = buckets.Object.read_bytes

    def changing(self: buckets.Object) -> bytes:
        data = read_bytes(self)
        server.put(key_of(url, "a.png"), picture(7))
        return data

    monkeypatch.setattr(buckets.Object, "read_bytes", changing)
    with pytest.raises(UserError, match=r"a\.png has changed since"):
        run_both(listing, tmp_path / "1", "skip")
    assert not (tmp_path / "1/masks.zarr").exists()


def test_a_bucket_out_of_reach_ends_the_stage(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `on_error` says: no image is to blame."""
    listing = tmp_path / "images.json"
    list_images.run(url, listing)
    run_both(listing, tmp_path / "1")
    files = image_files.find(listing)["a"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    try:
        with pytest.raises(FatalError, match=r"cannot be reached \(EndpointConnectionError"):
            image_files.read(files)
        with pytest.raises(FatalError, match="cannot be reached"):
            run_both(listing, tmp_path / "2", "skip")
    finally:
        fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://nothing-here/mine", r"cannot be reached \(FileNotFoundError"),
        ("http://example.org/mine", "must begin with s3:// or gs://"),
        ("data/images", "must begin with s3:// or gs://"),
        ("s3://", "must begin with s3:// or gs://"),
    ],
)
def test_no_bucket(server: Bucket, url: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        list_images.run(url, tmp_path / "images.json")
    assert not list(tmp_path.glob("*.json"))


def test_names_that_lead_out_are_refused(url: str, server: Bucket, tmp_path: Path) -> None:
    server.put(key_of(url, "../../etc/x.png"), picture(1))
    with pytest.raises(UserError, match="leads out of a folder"):
        list_images.run(url, tmp_path / "images.json")
    assert not (tmp_path / "images.json").exists()


GOOD = {
    "format": "maskquery listing 1",
    "url": "s3://photos/mine",
    "objects": {"a.png": {"etag": "1", "size": 3}},
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": "x"}, "format"),
        ({"url": "file:///etc"}, "url"),
        ({"url": "zip://x::s3://photos"}, "url"),
        ({"objects": {"a.png": {"etag": "1", "size": -3}}}, "objects.a.png.size"),
        ({"objects": {"a.png": {"etag": "1"}}}, "objects.a.png.size"),
        ({"objects": []}, "objects"),
        ({"more": 1}, "more"),
        ({"objects": {"../a.png": {"etag": "1", "size": 3}}}, "leads out of a folder"),
        ({"objects": {}}, "holds no images"),
    ],
)
def test_a_file_that_is_no_listing(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "images.json"
    for name in ("maskquery listing 1", "retrieval listing 1"):  # the second of older versions
        path.write_text(json.dumps({**GOOD, "format": name}))
        assert list(image_files.find(path)) == ["a"]
    path.write_text(json.dumps({**GOOD, **changes}))
    with pytest.raises(UserError, match=says):
        image_files.find(path)


def test_what_reads_buckets_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(buckets.PACKAGES, "gs", "no_such_package")
    with pytest.raises(FatalError, match=r"gs:// needs no_such_package.*run `pip install 'gcsfs'`"):
        buckets.list_bucket("gs://photos/mine")


def test_params_take_no_url(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({**PARAMS, "images": "s3://photos/mine"}))
    with pytest.raises(UserError, match=r"images is 's3://photos/mine'.*maskquery list URL"):
        params.load(masks.Params, path)


def read_elsewhere(pickled: bytes) -> bytes:
    return image_files.read_bytes(pickle.loads(pickled))


def test_any_process_reads_an_image(url: str, tmp_path: Path) -> None:
    """Given where it is: loose, in an archive, in a bucket."""
    listing, loose = tmp_path / "images.json", tmp_path / "loose"
    list_images.run(url, listing)
    loose.mkdir()
    (loose / "a.png").write_bytes(picture(0))
    pack.run(loose, tmp_path / "packed")
    files = [image_files.find(source)["a"] for source in (loose, tmp_path / "packed", listing)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        read = pool.map(read_elsewhere, [pickle.dumps(file) for file in files])
    assert read == [picture(0)] * 3


@pytest.mark.slow
def test_dvc_reruns_what_a_new_listing_changes(url: str, server: Bucket, tmp_path: Path) -> None:
    """DVC hashes the listing, and needs nothing that speaks S3."""
    repository = Repository.create(tmp_path / "repository", 1)
    listing = repository.folder / "data/images.json"
    text = yaml.safe_dump(PIPELINE).replace("data/images\n", "data/images.json\n")
    (repository.folder / "dvc.yaml").write_text(text)
    list_images.run(url, listing)
    repository.set_param("images", "data/images.json")
    repository.commit()
    assert repository.repro() == [3, 3]
    server.put(key_of(url, "new.png"), picture(5))
    assert repository.repro() == [0, 0], "the bucket is not asked"
    list_images.run(url, listing)
    assert '+  "new.png": {' in repository.git("diff", "--unified=0", "data/images.json")
    assert repository.repro() == [1, 1]


def test_results_in_a_bucket_are_read_with_zarr_and_pandas(
    url: str, server: Bucket, tmp_path: Path
) -> None:
    """As docs/sources.md says."""
    listing = tmp_path / "images.json"
    list_images.run(url, listing)
    run_both(listing, tmp_path / "data")
    server.upload(tmp_path / "data", "results")
    with MaskStore(tmp_path / "data/masks.zarr") as store:
        expected = store.read("b/ü")
    shard = f"{shard_of('b/ü')}.zip"
    store = zarr.storage.FsspecStore.from_url(f"zip::s3://photos/results/masks.zarr/{shard}")
    group = zarr.open_group(store, mode="r")[group_name("b/ü")]
    np.testing.assert_array_equal(group["masks"][:], expected.masks)
    table = pd.read_parquet("s3://photos/results/embeddings.parquet")
    assert sorted(set(table["image"])) == ["a", "b/c d", "b/ü"]
