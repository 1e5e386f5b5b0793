"""Put trained weights where the pipeline finds them as the model `tiny`, and their logs here.

    python -m demo.ship --sam DIR --clip DIR

Takes the averaged weights of the trainings' last checkpoints and stores them as float16, which
halves the files; prints the sha256 sums that `maskquery/models/checkpoints.py` must name. Of two
models that were not trained together, the other stays as it is.
"""

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from maskquery.core.files import file_hash
from maskquery.models.checkpoints import SHIPPED

LOGS = Path(__file__).parent / "logs"


def ship(work: Path, name: str) -> Path:
    """Write `name`.safetensors and the training's log from a training's folder; its path."""
    state = torch.load(work / "checkpoint.pt", weights_only=True)["average"]
    tensors = {
        key: value.half().contiguous() if value.is_floating_point() else value
        for key, value in state.items()
    }
    path = SHIPPED / f"{name}.safetensors"
    save_file(tensors, path)
    shutil.copyfile(work / "log.jsonl", LOGS / f"{name}-training.jsonl")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sam", type=Path, help="work folder of demo.train_sam")
    parser.add_argument("--clip", type=Path, help="work folder of demo.train_clip")
    arguments = parser.parse_args()
    if not any(vars(arguments).values()):
        parser.error("give --sam, --clip or both")
    for name, work in vars(arguments).items():
        if work is None:
            continue
        path = ship(work, name)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, sha256 {file_hash(path)}")


if __name__ == "__main__":
    main()
