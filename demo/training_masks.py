"""The tiny SAM's own masks of training rooms, for crops such as the pipeline cuts.

    python -m demo.training_masks --rooms DIR --count 600 --out DIR/masks.zarr

Runs the pipeline's stage `masks`, with the settings of params.yaml, on some rooms of
a folder; what it has computed is kept in the project's side cache, so that a second run goes on.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import yaml

from demo.training_data import HELD_OUT, find_rooms
from maskquery.core import params
from stages import masks


def first(rooms: list[Path], count: int) -> list[Path]:
    """`count` of the rooms: the held-out ones first, and always the same if more are wanted."""
    return sorted(rooms, key=lambda path: (int(path.stem) % HELD_OUT, path.stem))[:count]


def make(rooms: list[Path], out: Path) -> str:
    """Write the masks of these rooms (paths of their JSON files) to the store `out`."""
    document = yaml.safe_load(params.PARAMS_FILE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for room in rooms:  # a folder of the photographs alone: instance maps are PNGs as well
            shutil.copyfile(room.with_suffix(".jpg"), images / f"{room.stem}.jpg")
        document["images"] = str(images)
        own = Path(folder) / "params.yaml"
        own.write_text(yaml.safe_dump(document), encoding="utf-8")
        settings = params.load(masks.Params, own)
        return masks.run(out, Path(folder) / "failures.json", settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", type=Path, required=True, help="folder of training rooms")
    parser.add_argument("--out", type=Path, required=True, help="the store to write")
    parser.add_argument("--count", type=int, default=600, help="how many rooms")
    options = parser.parse_args()
    print(make(first(find_rooms(options.rooms), options.count), options.out))


if __name__ == "__main__":
    main()
