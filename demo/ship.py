"""Put trained weights where the pipeline finds them as the model `tiny`, and their logs here.

    python -m demo.ship --sam DIR --clip DIR

Takes the averaged weights of the trainings' last checkpoints and stores them as float16, which
halves the files; prints the sha256 sums that `maskquery/models/checkpoints.py` must name. Of two
models that were not trained together, the other stays as it is.

A model that went on from others' weights (`--start`) may be shipped as a mean with them: `--start
FILE --share 0.5`. It keeps what they knew and has most of what was learnt (WiSE-FT, Wortsman et al.
2022, arXiv:2109.01903).
"""

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from maskquery.core.files import file_hash
from maskquery.models.checkpoints import SHIPPED

LOGS = Path(__file__).parent / "logs"


def between(start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """The weights a share of the way from `start` to `end`; integers are those of `end`."""
    return {
        key: torch.lerp(start[key].float(), value.float(), share)
        if value.is_floating_point()
        else value
        for key, value in end.items()
    }


def ship(work: Path, name: str, start: Path | None = None, share: float = 1.0) -> Path:
    """Write `name`.safetensors and the training's log from a training's folder.

    With `start`, the weights are those that lie a `share` of the way from it to the trained ones.
    """
    state = torch.load(work / "checkpoint.pt", weights_only=True)["average"]
    if start:
        state = between(load_file(start), state, share)
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
    parser.add_argument("--start", type=Path, help="weights to take the mean with")
    parser.add_argument("--share", type=float, default=0.5, help="of the trained ones in that mean")
    arguments = parser.parse_args()
    works = {name: vars(arguments)[name] for name in ("sam", "clip") if vars(arguments)[name]}
    if not works:
        parser.error("give --sam, --clip or both")
    if arguments.start and len(works) > 1:
        parser.error("--start belongs to one model: give --sam or --clip")
    for name, work in works.items():
        path = ship(work, name, arguments.start, arguments.share)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, sha256 {file_hash(path)}")


if __name__ == "__main__":
    main()
