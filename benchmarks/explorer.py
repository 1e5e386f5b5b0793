"""The explorer: search through a million masks, and the overlay's answer to the slider, measured.

    python -m benchmarks explorer

The million masks are random unit vectors of 512 numbers in a Parquet file, as ViT-B/32 makes them;
6 GB of disk are needed in the temporary folder for a while. The slider is measured in chromium, on
an image of 1024 x 768 pixels with 100 masks.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml
from PIL import Image

from benchmarks.mask_store import blob
from benchmarks.measuring import Row, seconds
from maskquery.explore import vectors
from maskquery.masks import mask_store, packed
from maskquery.masks.packed import ImageMasks, MaskColumns
from maskquery.models import checkpoints
from maskquery.tables import embedding_table

MASKS, PER_IMAGE, DIMENSIONS, REPEATS = 1_000_000, 100, 512, 7
WIDTH, HEIGHT, ON_PAGE, STEPS = 1024, 768, 100, 60
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ROOT = Path(__file__).resolve().parents[1]

SLIDE = """async ([steps]) => {
  const slider = document.getElementById('threshold'), times = [];
  const low = Number(slider.min), high = Number(slider.max);
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (let step = 0; step <= steps; step++) {
    await painted();
    slider.value = high - (high - low) * step / steps;
    const start = performance.now();
    slider.dispatchEvent(new Event('input'));
    const drawn = performance.now();
    await painted();
    times.push([drawn - start, performance.now() - start]);
  }
  return times.slice(1);
}"""


def directions(rng: np.random.Generator, count: int) -> npt.NDArray[np.float32]:
    """(count, 1, D) float32 of length 1."""
    unit_vectors = rng.standard_normal((count, 1, DIMENSIONS), np.float32)
    unit_vectors /= np.linalg.norm(unit_vectors, axis=2, keepdims=True)
    return unit_vectors


def table(path: Path) -> None:
    """Write embeddings.parquet of `MASKS` random masks."""
    rng = np.random.default_rng(0)

    def rows() -> Iterator[pa.Table]:
        for number in range(MASKS // PER_IMAGE):
            columns = MaskColumns(
                image=f"image_{number:06d}",
                height=1,
                width=1,
                ids=rng.integers(0, 2**63, PER_IMAGE).astype(np.uint64),
                boxes=np.zeros((PER_IMAGE, 4), np.int32),
                areas=np.ones(PER_IMAGE, np.int64),
                predicted_iou=np.ones(PER_IMAGE, np.float32),
                stability_score=np.ones(PER_IMAGE, np.float32),
                points=np.zeros((PER_IMAGE, 2), np.float32),
            )
            yield embedding_table.rows_of(columns, ["crop"], directions(rng, PER_IMAGE))

    embedding_table.write(path, rows(), DIMENSIONS, {})


def search() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MASKQUERY_CACHE"] = f"{folder}/cache"
        path = Path(folder) / "embeddings.parquet"
        table(path)
        making = seconds(lambda: vectors.load(path, ["crop"], [1.0]))
        loading = seconds(lambda: vectors.load(path, ["crop"], [1.0]))
        index = vectors.load(path, ["crop"], [1.0])
        text = directions(np.random.default_rng(1), 1)[0, 0]
        first = seconds(lambda: index.like_text(text, 48))
        before = time.process_time()
        times = [seconds(lambda: index.like_text(text, 48)) for _ in range(REPEATS)]
        spent = (time.process_time() - before) / REPEATS
        likes = [seconds(lambda row=row: index.like_mask(row, 48)) for row in range(REPEATS)]  # type: ignore[misc]
        best = int(np.argmax(np.concatenate([part @ text for part in parts(index.means)])))
        if index.like_text(text, 1)[0][0] != best:
            raise SystemExit("the search did not find the most similar mask")
        figures = {
            "made_seconds": round(making, 1),
            "loaded_seconds": round(loading, 2),
            "first_search_seconds": round(first, 3),
            "text_cpu_seconds": round(spent, 3),
            "text_seconds": [round(each, 3) for each in times],
            "mask_seconds": [round(each, 3) for each in likes],
            "file_gb": round(path.stat().st_size / 1e9, 2),
        }
        yield Row(
            f"exact search, {MASKS:,} masks of {DIMENSIONS} numbers, memory-mapped",
            "-",
            f"{statistics.median(times):.2f} s by text, {statistics.median(likes):.2f} s by mask",
            "1 s",
            figures,
        )


def parts(means: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """A thousand rows at a time."""
    return [means[start : start + 1000] for start in range(0, len(means), 1000)]


def workspace(folder: Path) -> ImageMasks:
    """An image with masks, label map, embeddings and params.yaml."""
    rng = np.random.default_rng(0)
    stack = np.stack([packed.pack(blob(rng, HEIGHT, WIDTH)) for _ in range(ON_PAGE + 50)])
    stack = stack[packed.mask_areas(stack) > 0][:ON_PAGE]
    masks = packed.image_masks(
        "image",
        WIDTH,
        stack,
        predicted_iou=rng.random(len(stack)),
        stability_score=rng.random(len(stack)),
        points=rng.random((len(stack), 2)),
    )
    for name in ("images", "truth"):
        (folder / name).mkdir()
    pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "images/image.png")
    np.save(folder / "truth/image.npy", blob(rng, HEIGHT, WIDTH).astype(np.uint8))
    mask_store.MaskStore.write(folder / "data/masks.zarr", [masks])
    unit_vectors = rng.standard_normal((len(masks.ids), 1, 128)).astype(np.float32)
    unit_vectors /= np.linalg.norm(unit_vectors, axis=2, keepdims=True)
    rows = embedding_table.rows_of(masks, ["crop"], unit_vectors)
    clip = {"model": "tiny", "sha256": checkpoints.find("clip", "tiny").sha256, "views": ["crop"]}
    embedding_table.write(folder / "data/embeddings.parquet", [rows], 128, {"clip": clip})
    truth = {
        "folder": "truth",
        "pattern": "{image}.npy",
        "palette": {},
        "ignore": [],
        "labels": {"chair": [1]},
    }
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {
        "threshold": 0.0,
        "images": "images",
        "classes": {"chair": ["a chair"]},
        "ground_truth": truth,
        "calibration": [],
    }
    params["scores"]["view_weights"] = {"crop": 1.0}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return masks


def slider() -> Iterator[Row]:
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise SystemExit("no chromium: install it to measure the explorer's page")
    with tempfile.TemporaryDirectory() as name:
        masks = workspace(Path(name))
        environment = os.environ | {"PYTHONPATH": str(ROOT), "MASKQUERY_CACHE": f"{name}/cache"}
        command = [sys.executable, "-m", "maskquery", "explore", "--port", "0"]
        with subprocess.Popen(
            command, cwd=name, env=environment, stderr=subprocess.PIPE, text=True
        ) as server:
            assert server.stderr is not None
            url = server.stderr.readline().split()[1]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1440, "height": 1000})
                start = time.perf_counter()
                page.goto(url)
                page.get_by_text("1 image", exact=True).wait_for(timeout=120_000)
                seconds_to_open = time.perf_counter() - start
                times = page.evaluate(SLIDE, [STEPS])
                browser.close()
            server.terminate()
    script, frame = ([each[place] for each in times] for place in (0, 1))
    yield Row(
        f"overlay and IoU after a change of the threshold, {WIDTH} x {HEIGHT}, "
        f"{len(masks.ids)} masks, in chromium",
        "-",
        f"{statistics.median(frame):.0f} ms until painted, at most {max(frame):.0f} ms",
        "100 ms",
        {
            "changes": len(times),
            "script_ms": [round(each, 1) for each in script],
            "painted_ms": [round(each, 1) for each in frame],
            "page_opened_seconds": round(seconds_to_open, 2),
        },
    )


def measure() -> Iterator[Row]:
    yield from slider()
    yield from search()
