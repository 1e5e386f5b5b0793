"""scores: how similar every mask is to every class, and its score -> data/scores.parquet.

Torch is loaded only for a prompt or a model that is new.
"""

from pathlib import Path

from maskquery.core import console, params
from maskquery.scoring import class_embeddings
from maskquery.scoring.run import Classes, write_scores

EMBEDDINGS = Path("data/embeddings.parquet")
SCORES = Path("data/scores.parquet")


class Params(params.Section):
    """What params.yaml says to this stage.

    Attributes:
        classes: the prompts of each class, at least one.
    """

    scores: class_embeddings.Settings
    classes: Classes


def run(embeddings: Path, scores: Path, settings: Params) -> str:
    """Write the table `scores`; the closing line."""
    return write_scores(embeddings, scores, settings=settings.scores, classes=settings.classes)


def main() -> str:
    """Run the stage on the pipeline's own files."""
    return run(EMBEDDINGS, SCORES, params.load(Params))


if __name__ == "__main__":
    console.run_stage(main)
