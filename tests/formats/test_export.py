import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from maskquery.core.errors import UserError
from maskquery.core.files import file_hash
from maskquery.formats import export
from maskquery.formats.export import FORMATS
from tests.formats.conftest import CLASSES, Pipeline
from tests.support.builders import ROOT, loaded_modules

FILES = {
    "coco": {"annotations.json"},
    "yolo": {"images", "labels", "data.yaml"},
    "png": {"labels", "classes.json"},
    "label-studio": {"tasks.json", "config.xml"},
    "cvat": {"annotations.xml"},
    "fiftyone": {"data", "labels.json"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_wrote(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    line = export.run(name, FORMATS[name], pipeline.files, "classes", out)
    count = sum(plane.any() for planes in pipeline.planes().values() for plane in planes.values())
    assert line.startswith(f"{name}: 5 images, {count} objects in {out}; 2 images have none")
    assert {path.name for path in out.iterdir()} == FILES[name] | {"made.json"}
    mark = json.loads((out / "made.json").read_text(encoding="utf-8"))
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    del files["made.json"]
    assert mark == {
        "command": f"maskquery export {name}",
        "format": name,
        "objects": "classes",
        "classes": list(CLASSES),
        "files": {path: file_hash(files[path]) for path in sorted(files)},
    }


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_found_is_said_and_the_images_are_there(
    pipeline: Pipeline, tmp_path: Path, name: str
) -> None:
    pipeline.choose(1)
    line = export.run(name, FORMATS[name], pipeline.files, "classes", tmp_path / "out")
    assert line.startswith(f"{name}: 5 images and NOT ONE object in ")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES[name] | {"made.json"}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_files_give_the_same_bytes(pipeline: Pipeline, tmp_path: Path, name: str) -> None:
    def contents() -> dict[str, bytes]:
        export.run(name, FORMATS[name], pipeline.files, "classes", tmp_path / "out")
        found = (tmp_path / "out").rglob("*")
        return {str(path): path.read_bytes() for path in found if path.is_file()}

    assert contents() == contents()


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_person_corrected_is_not_exported_over(
    pipeline: Pipeline, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    export.run(name, FORMATS[name], pipeline.files, "classes", out)
    path = min(p for p in out.rglob("*") if p.is_file() and p.name != "made.json")
    path.write_bytes(path.read_bytes() + b"\n")
    corrected = path.read_bytes()
    with pytest.raises(UserError, match="has been changed, which would be lost"):
        export.run(name, FORMATS[name], pipeline.files, "classes", out)
    assert path.read_bytes() == corrected
    with pytest.raises(UserError, match=f"holds the results of `maskquery export {name}`"):
        export.run("other", FORMATS[name], pipeline.files, "classes", out)


def test_a_folder_of_somebody_else_is_left_alone(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds other files"):
        export.run("coco", FORMATS["coco"], pipeline.files, "classes", tmp_path)
    assert pipeline.scores.is_file()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "maskquery", "export", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_at_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Pipeline(tmp_path / "data")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"images": "data/pictures"}))
    done = run(tmp_path, "label-studio", "--objects", "masks", "--image-url", "s3://bucket/")
    assert (done.returncode, done.stderr) == (0, "")
    assert "in data/export/label-studio; 2 images have none; images are at s3://" in done.stdout
    tasks = (tmp_path / "data/export/label-studio/tasks.json").read_text(encoding="utf-8")
    assert '"s3://bucket/images/x%20y.PNG"' in tasks
    done = run(tmp_path, "png", "--objects", "masks")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: png has one class for each pixel: leave out --objects masks\n")
    (tmp_path / "data/predictions.zarr").rename(tmp_path / "data/gone")
    done = run(tmp_path, "coco")
    assert done.returncode == 1
    assert done.stderr == "error: data/predictions.zarr holds no images: run `dvc repro`\n"


def test_an_export_loads_no_model_and_no_pandas() -> None:
    loaded = loaded_modules("import maskquery.formats.export")
    assert not loaded & {"torch", "pandas", "zarr", "clip", "segment_anything", "matplotlib"}


def test_files_are_those_of_the_stages() -> None:
    from stages import masks, predictions

    assert export.MASKS == masks.MASKS
    assert export.PREDICTIONS == predictions.PREDICTIONS
