"""Whatever happened before: outputs are those of a run from nothing, and nothing is done twice."""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from PIL import Image

from maskquery.clip import job as clip_work
from maskquery.core.errors import UserError
from maskquery.formats import pack
from maskquery.jobs.cells import Cells
from maskquery.sam import job as sam_work
from stages import embeddings, masks
from tests.support import standin

KINDS = ("masks", "embeddings")
NAMES = ["a", "b", "-c", "sub/a", "sub/ü n"]
SAM = {
    "model": "tiny",
    "tier": "exact",
    "points_per_side": 3,
    "points_per_batch": 64,
    "pred_iou_thresh": 0.5,
    "stability_score_thresh": 0.5,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.7,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 0.3,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 0,
    "clahe": 0.0,
}
CLIP = {
    "model": "tiny",
    "tier": "exact",
    "views": ("crop",),
    "crop_padding": 0.1,
    "crop_shape": "pad",
    "mirrored": False,
    "clahe": 0.0,
}


@cache
def content(number: int) -> bytes:
    """The bytes of an image; those of number 0 are damaged, and 1 has no mask but the whole."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 1 if number == 1 else 256, (5, 6 + number, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()[: 60 if number == 0 else None]


@pytest.fixture(scope="module", autouse=True)
def models() -> Iterator[None]:
    before = sam_work.load, clip_work.load
    standin.install()
    yield
    sam_work.load, clip_work.load = before


def run_both(folder: Path, params: dict[str, Any]) -> None:
    """Both stages; what is computed stands in the file `log`."""
    log = folder / "log"
    log.write_bytes(b"")
    os.environ |= {"STANDIN_LOG": str(log), "MASKQUERY_CACHE": str(folder / ".cache")}
    images = str(folder / "images")
    if params["packed"]:
        images = str(folder / "packed")
        pack.run(folder / "images", folder / "packed")
    shutil.rmtree(folder / "data", ignore_errors=True)  # as DVC does
    masks.run(
        folder / "data/masks.zarr",
        folder / "metrics/failures.json",
        masks.Params.model_validate(
            {
                "images": images,
                "max_pixels": 1000,
                "on_error": params["on_error"],
                "sam": SAM | {"points_per_side": params["points"]},
            }
        ),
    )
    embeddings.run(
        folder / "data/masks.zarr",
        folder / "data/embeddings.parquet",
        embeddings.Params.model_validate(
            {"images": images, "clip": CLIP | {"views": params["views"]}}
        ),
    )


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("data", "metrics")
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }


class Histories(RuleBasedStateMachine):
    """Images come, go, change and change names; parameters change; runs are cut short."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "workspace"
        self.params = {"points": 3, "views": ("crop",), "on_error": "skip", "packed": False}
        self.images: dict[str, int] = {}
        self.work: dict[str, str] = {}  # by the name of the cell that it went into

    def teardown(self) -> None:
        self.temporary.cleanup()

    @initialize(number=st.integers(2, 5))
    def start(self, number: int) -> None:
        self.put("first", number)

    @rule(name=st.sampled_from(NAMES), number=st.integers(0, 5))
    def put(self, name: str, number: int) -> None:
        """Add an image, or change one."""
        path = self.folder / f"images/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(number))
        self.images[name] = number

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        (self.folder / f"images/{name}.png").unlink(missing_ok=True)
        self.images.pop(name, None)

    @rule(old=st.sampled_from(NAMES), new=st.sampled_from(NAMES))
    def rename(self, old: str, new: str) -> None:
        if old in self.images:
            number = self.images[old]
            self.remove(old)
            self.put(new, number)

    @rule(points=st.integers(1, 3))
    def set_points(self, points: int) -> None:
        self.params["points"] = points

    @rule(views=st.sampled_from([("crop",), ("masked",), ("crop", "masked"), ("masked", "crop")]))
    def set_views(self, views: tuple[str, ...]) -> None:
        self.params["views"] = views

    @rule(packed=st.booleans())
    def set_packed(self, packed: bool) -> None:
        """From now on the stages read the images out of archives, or loose."""
        self.params["packed"] = packed

    @rule(on_error=st.sampled_from(["skip", "fail"]))
    def set_on_error(self, on_error: str) -> None:
        self.params["on_error"] = on_error

    @rule(number=st.integers(0, 10**6), cut=st.integers(0, 100))
    def damage_a_cell(self, number: int, cut: int) -> None:
        found = sorted(cell for kind in KINDS for cell in self.cells(kind))
        if found:
            path = found[number % len(found)]
            path.write_bytes(path.read_bytes()[:cut] + b"!")

    @rule(number=st.integers(0, 10**6))
    def lose_a_cell(self, number: int) -> None:
        found = sorted(cell for kind in KINDS for cell in self.cells(kind))
        if found:
            found[number % len(found)].unlink()

    @rule(cells=st.integers(0, 3))
    def run_cut_short(self, cells: int) -> None:
        """The stage ends, by whatever, after so many cells."""
        self.run(cells)

    @rule()
    def repro(self) -> None:
        self.run(None)
        failed = 0 in self.images.values()
        if failed and self.params["on_error"] == "fail":
            assert not (self.folder / "data/masks.zarr").exists()
            return
        # The clean run is in the same place, for failures.json holds paths. It packs anew.
        aside = self.folder.rename(self.folder.with_name("aside"))
        shutil.copytree(aside / "images", self.folder / "images")
        run_both(self.folder, self.params)
        clean = outputs(self.folder)
        shutil.rmtree(self.folder)
        aside.rename(self.folder)
        assert outputs(self.folder) == clean

    def run(self, cells: int | None) -> None:
        """Run both stages, and see that nothing is computed that a cell holds."""
        intact = {
            self.work[cell.parent.name + cell.name]
            for k in KINDS
            for cell in self.cells(k)
            if Cells(k).read(cell.parent.name + cell.name) is not None
        }
        written: list[str] = []
        write = Cells.write

        def cut(own: Cells, name: str, payload: bytes) -> None:
            if len(written) == cells:
                raise SystemExit
            written.append(name)
            write(own, name, payload)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Cells, "write", cut)
            with contextlib.suppress(SystemExit, UserError):
                run_both(self.folder, self.params)
        computed = (self.folder / "log").read_text().splitlines()
        self.work |= dict(zip(written, computed, strict=False))
        assert len(set(computed)) == len(computed)
        assert not intact & set(computed)

    def cells(self, kind: str) -> list[Path]:
        folder = self.folder / ".cache" / kind
        os.environ["MASKQUERY_CACHE"] = str(folder.parent)
        return [path for path in folder.rglob("*") if path.is_file()]

    @invariant()
    def nothing_is_left_beside(self) -> None:
        assert not list(self.folder.rglob("*.tmp"))


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)
