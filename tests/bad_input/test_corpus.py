"""Each case of the corpus through the stages, and the table in docs/bad-input.md."""

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskquery.clip import job as clip_work
from maskquery.core.errors import UserError
from maskquery.evaluation import panels
from maskquery.formats import pack
from maskquery.images import image_files, sources
from maskquery.masks.mask_store import MaskStore
from maskquery.sam import job as sam_work
from maskquery.tables import embedding_table
from stages import embeddings, masks
from tests.bad_input.corpus import CASES, MAX_PIXELS, PNG, Case
from tests.bad_input.packed import PACKED, tarred
from tests.support import standin
from tests.support.builders import ROOT, write_masks
from tests.support.project import PARAMS
from tests.support.repository import Repository


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam_work, "load", standin.find_masks)
    monkeypatch.setattr(clip_work, "load", standin.encode_crops)
    monkeypatch.setenv("STANDIN_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("MASKQUERY_CACHE", str(tmp_path / "cells"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images, of which one is as it should be."""
    made = tmp_path / "images"
    made.mkdir()
    (made / "good.png").write_bytes(PNG)
    return made


def run_both(folder: Path, **changes: Any) -> dict[str, str]:
    """Both stages; the failures."""
    params: dict[str, Any] = {key: PARAMS[key] for key in ("on_error", "sam", "clip")}
    params |= {"images": str(folder), "max_pixels": MAX_PIXELS, **changes}
    params["clip"] = params["clip"] | {"views": tuple(params["clip"]["views"])}
    store, failures = folder.parent / "masks.zarr", folder.parent / "failures.json"

    def own(cls: Any) -> Any:
        return cls.model_validate({key: params[key] for key in cls.model_fields})

    try:
        masks.run(store, failures, own(masks.Params))
        embeddings.run(store, folder.parent / "e.parquet", own(embeddings.Params))
    finally:
        found = json.loads(failures.read_text())["images"] if failures.exists() else {}
    return found


EACH = pytest.mark.parametrize(
    "case", [*CASES.values(), *PACKED.values()], ids=[*CASES.keys(), *PACKED.keys()]
)


@EACH
def test_each_case_has_its_outcome(folder: Path, case: Case) -> None:
    before = sorted(folder.parent.iterdir())
    case.make(folder)
    if case.outcome == "refused":
        with pytest.raises(UserError, match=re.escape(case.says)):
            run_both(folder, on_error="skip")
        assert not (folder.parent / "masks.zarr").exists()
        return
    failures = run_both(folder, on_error="skip")
    with MaskStore(folder.parent / "masks.zarr") as store:
        assert "good" in store.images()
        assert (case.image in store.images()) == (case.outcome == "processed")
        if case.outcome == "processed":
            found = store.read(case.image)
            assert (found.height, found.width) == case.size
            rows = [
                row
                for part in embedding_table.read(folder.parent / "e.parquet")
                for row in part.images
            ]
            assert rows.count(case.image) == len(found.ids) > 0
    assert list(failures) == ([case.image] if case.outcome == "failed" else [])
    if failures:
        assert case.says in failures[case.image]
        assert failures[case.image].startswith(f"{folder}/case.")
        with pytest.raises(UserError, match="1 of 2 images failed"):
            run_both(folder, on_error="fail")
    allowed = {"cells", "masks.zarr", "e.parquet", "failures.json", "log", "outside.png"}
    left = {path.name for path in folder.parent.iterdir()} - {path.name for path in before}
    assert left <= allowed, "nothing is written elsewhere"


def test_in_archives_all_is_as_it_is_loose(folder: Path) -> None:
    """The same images, masks, embeddings and failures, to the byte; packed by us or by tar."""
    for number, case in enumerate(CASES.values()):
        if case.outcome != "refused":
            (folder / str(number)).mkdir()
            case.make(folder / str(number))
    loose = run_both(folder, on_error="skip"), outputs(folder.parent)
    assert len(loose[0]) > 5
    packed, tar = folder.parent / "packed", folder.parent / "all.tar"
    pack.run(folder, packed)
    files = {f"./{name}": image_files.read_bytes(path) for name, path in sources.files_of(folder)}
    tar.write_bytes(tarred(files))
    assert contents(tar) == contents(packed) == contents(folder)
    failures = run_both(packed, on_error="skip")
    assert outputs(folder.parent) == loose[1]
    assert failures.keys() == loose[0].keys()
    for image, reason in failures.items():
        assert reason.partition(" ")[2] == loose[0][image].partition(" ")[2]


@pytest.mark.parametrize("name", [name for name, c in CASES.items() if c.outcome == "refused"])
def test_what_is_refused_is_not_packed(folder: Path, name: str) -> None:
    CASES[name].make(folder)
    packed = folder.parent / "packed"
    if name == "two files of one stem":  # which are no matter to a folder of label maps, say
        pack.run(folder, packed)
        with pytest.raises(UserError, match=CASES[name].says):
            image_files.find(packed)
        return
    with pytest.raises(UserError, match=re.escape(CASES[name].says)):
        pack.run(folder, packed)


def contents(source: Path) -> dict[str, bytes]:
    return {image: image_files.read_bytes(file) for image, file in image_files.find(source).items()}


def outputs(folder: Path) -> dict[str, bytes]:
    paths = [*sorted((folder / "masks.zarr").iterdir()), folder / "e.parquet"]
    return {path.name: path.read_bytes() for path in paths}


def test_the_limit_on_pixels_is_a_parameter(folder: Path) -> None:
    assert run_both(folder, max_pixels=20 * 31) == {}
    with pytest.raises(UserError, match="1 of 1 images failed"):
        run_both(folder, max_pixels=20 * 31 - 1, on_error="skip")


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that another user may look into."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def not_root() -> Iterator[None]:
    """As somebody who may not read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_image_that_must_not_be_read_fails(readable: Path) -> None:
    path = readable / "case.png"
    path.write_bytes(PNG)
    path.chmod(0)
    with not_root(), pytest.raises(UserError, match=r"case\.png cannot be read \(Permission"):
        image_files.read(path)


def test_a_folder_that_must_not_be_read_is_named(readable: Path) -> None:
    (readable / "case.png").write_bytes(PNG)
    closed = readable / "closed"
    closed.mkdir()
    closed.chmod(0)
    with not_root(), pytest.raises(UserError, match=r"/closed cannot be read \(Permission denied"):
        image_files.find(readable)
    closed.chmod(0o755)


@pytest.mark.slow
def test_strange_names_go_through_dvc(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "repository", 1)
    strange = [
        case for case in CASES.values() if "name" in _name(case) and case.outcome == "processed"
    ]
    for case in strange:
        case.make(repository.folder / "data/images")
    repository.dvc("repro")
    assert repository.repro() == [0, 0]
    with MaskStore(repository.folder / "data/masks.zarr") as store:
        assert {case.image for case in strange} < set(store.images())


def _name(case: Case) -> str:
    [name] = [name for name, own in CASES.items() if own is case]
    return name


def test_the_table_of_the_docs_is_the_corpus() -> None:
    images, _, _ = (ROOT / "docs/bad-input.md").read_text().partition("## params.yaml")
    listed = re.findall(r"^\| (.+?) \| (processed|failed|ignored|refused) \|", images, re.MULTILINE)
    expected = []
    for name, case in CASES.items():
        if name.startswith("EXIF orientation 1"):
            expected.append(("EXIF orientation 1 to 8", "processed"))
        elif not re.fullmatch("EXIF orientation [2-8]", name):
            expected.append((name, case.outcome))
    expected += [("unreadable (permissions)", "failed"), ("file of more than 1 GiB", "failed")]
    assert listed == [*expected, *((name, case.outcome) for name, case in PACKED.items())]


@pytest.mark.parametrize("image", ["../../x", "/etc/x", "a/../../b", "..", ".", "\0", "C:\\x", "~"])
def test_an_image_id_is_no_path(tmp_path: Path, image: str) -> None:
    """Not even that of a store that somebody made up."""
    name = panels.file_name(image)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+\.jpg", name)
    assert Path(name).name == name
    write_masks(tmp_path / "deep" / "masks.zarr", {image: np.ones((1, 3, 4), bool)})
    with MaskStore(tmp_path / "deep" / "masks.zarr") as store:
        assert store.read(image).image == image
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
