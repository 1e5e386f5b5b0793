"""Score masks again as scores.parquet did, from what its metadata says: other masks, or prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from maskquery.clip import settings
from maskquery.core.errors import UserError
from maskquery.scoring import class_embeddings, provenance
from maskquery.scoring.class_embeddings import ClassScorer


@dataclass(frozen=True)
class Origin:
    """How scores came from masks.

    Attributes:
        model: of CLIP.
        crops: how they were cut.
        scores: how scores came from embeddings.
        prompts: of each class.
    """

    model: str
    crops: settings.Settings
    scores: class_embeddings.Settings
    prompts: Mapping[str, Sequence[str]]

    def scorer(self, prompts: Mapping[str, Sequence[str]]) -> ClassScorer:
        """A scorer of other prompts, else the same; raises what `ClassScorer` raises."""
        return ClassScorer(self.model, self.crops.views, self.scores, prompts)


def read_origin(scores: Path) -> Origin:
    """The origin of scores.parquet.

    Raises:
        UserError: the file is missing or damaged, or was made with other weights or code.
    """
    metadata = provenance.read(scores)
    clip: dict[str, Any] = metadata["clip"]
    try:
        crops = {key: clip[key] for key in settings.Settings.model_fields}
        return Origin(
            clip["model"],
            settings.Settings.model_validate(crops, strict=False),
            class_embeddings.Settings.model_validate(metadata["scores"], strict=False),
            metadata["prompts"],
        )
    except (KeyError, TypeError, pydantic.ValidationError):
        raise UserError(f"{scores} was made with other code", "run `dvc repro`") from None
