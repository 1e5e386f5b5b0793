"""OpenAI's package `clip`, imported in one place.

Its import warns about `pkg_resources`, which no user of this project can do anything about.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    from clip.clip import _MODELS as MODELS
    from clip.clip import tokenize
    from clip.model import (
        CLIP,
        AttentionPool2d,
        ModifiedResNet,
        ResidualAttentionBlock,
        build_model,
    )

__all__ = [
    "CLIP",
    "MODELS",
    "AttentionPool2d",
    "ModifiedResNet",
    "ResidualAttentionBlock",
    "build_model",
    "tokenize",
]
