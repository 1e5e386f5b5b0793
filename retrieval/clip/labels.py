"""Label masks again as scores.parquet did, from what its metadata says: other masks, or prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval import checkpoints, tables
from retrieval.clip import texts
from retrieval.clip.settings import Settings
from retrieval.clip.similarity import Embeddings, mask_similarity
from retrieval.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """How scores came from masks.

    Attributes:
        model: of CLIP.
        settings: how crops were cut.
        weights: of the views, in their order.
        prompts: of each class.
    """

    model: str
    settings: Settings
    weights: Sequence[float]
    prompts: Mapping[str, Sequence[str]]


def read_recipe(scores: Path) -> Recipe:
    """The recipe of scores.parquet.

    Raises:
        UserError: the file is missing or damaged, or was made with other weights of CLIP.
    """
    metadata = tables.read_metadata(scores)
    try:
        clip: dict[str, Any] = metadata["clip"]
        settings = Settings(
            views=tuple(clip["views"]),
            crop_padding=clip["crop_padding"],
            crop_shape=clip["crop_shape"],
        )
        if checkpoints.find("clip", clip["model"]).sha256 == clip["sha256"]:
            weights = [metadata["view_weights"][view] for view in settings.views]
            return Recipe(clip["model"], settings, weights, metadata["prompts"])
    except (KeyError, TypeError, ValueError):
        pass
    raise UserError(f"{scores} was made with other weights or code: run `dvc repro`")


def encode(recipe: Recipe, prompts: Mapping[str, Sequence[str]]) -> list[Embeddings]:
    """Each class's prompts, (P, D) float32.

    Raises:
        UserError: a prompt is too long, or is new and the checkpoint cannot be had.
    """
    flat = [prompt for own in prompts.values() for prompt in own]
    vectors = iter(texts.embeddings(recipe.model, flat))
    return [np.stack([next(vectors) for _ in own]) for own in prompts.values()]


def score(
    recipe: Recipe, views: Embeddings, classes: Sequence[Embeddings]
) -> npt.NDArray[np.float32]:
    """The scores of masks, (N, V, D) embeddings, for classes of `encode`: (N, C) float32."""
    return mask_similarity(views, recipe.weights, classes)
