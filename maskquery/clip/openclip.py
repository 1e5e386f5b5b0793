"""OpenCLIP's models behind the interface of OpenAI's: encoders, tokenizer, and how they see.

The package `open_clip` is the extra `openclip`. It is imported inside functions: without the extra
everything else works.
"""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor, nn

from maskquery.clip.crops import Preprocessing
from maskquery.core.errors import UserError
from maskquery.models import openclip

Tokenizer = Any  # open_clip's SimpleTokenizer or HFTokenizer


class OpenClip(nn.Module):
    """A model of OpenCLIP's.

    Args:
        model: of `open_clip.create_model`.
        name: what it is.

    Attributes:
        preprocessing: what the model is shown.
        resolution: R, the side of its input, pixels.
        dimensions: D, the length of an embedding.
        context: tokens of a text that it reads.
    """

    def __init__(self, model: Any, name: openclip.Name) -> None:
        super().__init__()
        import open_clip

        self.model, self.name = model, name
        config = open_clip.get_model_config(name.architecture)
        self.preprocessing = preprocessing(name)
        self.resolution = int(config["vision_cfg"]["image_size"])
        self.dimensions = int(config["embed_dim"])
        self.context = int(config["text_cfg"].get("context_length", 77))

    @property
    def logit_scale(self) -> Tensor:
        """The logarithm of what similarities are multiplied by."""
        scale: Tensor = self.model.logit_scale
        return scale

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B, 3, R, R), normalised, to (B, D)."""
        embeddings: Tensor = self.model.encode_image(pixels)
        return embeddings

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(P, context) integers to (P, D)."""
        embeddings: Tensor = self.model.encode_text(tokens)
        return embeddings

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Tokenize P prompts: (P, context) integers.

        Raises:
            UserError: a prompt has more tokens than the model reads, or the tokenizer's files
                cannot be downloaded.
        """
        tokenizer = _tokenizer(self.name.architecture)
        for prompt in prompts:
            if _length(tokenizer, prompt) > self.context:
                raise UserError(
                    f"the prompt {prompt!r} is longer than the {self.context} tokens that "
                    f"{self.name.architecture} reads",
                    "shorten it",
                )
        tokens: Tensor = tokenizer(list(prompts), context_length=self.context)
        return tokens

    def sigmoid(self) -> tuple[float, float] | None:
        """The scale and the bias of a SigLIP's similarity; None if the model has no bias.

        The similarity is sigmoid(scale x cosine + bias).

        Source: Zhai et al. 2023 (https://arxiv.org/abs/2303.15343), algorithm 1.
        """
        bias = getattr(self.model, "logit_bias", None)
        if bias is None:
            return None
        return float(self.logit_scale.detach().exp()), float(bias.detach())


def preprocessing(name: openclip.Name) -> Preprocessing:
    """How OpenCLIP shows an image to a model."""
    import open_clip

    config = open_clip.get_pretrained_cfg(name.architecture, name.tag)
    return Preprocessing(
        tuple(config["mean"]),
        tuple(config["std"]),
        config["interpolation"],
        config["resize_mode"],
    )


def read(model: str, file: BinaryIO) -> OpenClip:
    """The model of a name with the weights of a file, float32, on the CPU.

    The file is read by `open_clip`, which knows the formats that are published; of a pickle tensors
    only (`weights_only`).

    Args:
        model: "openclip:ARCH/TAG".
        file: of a checkpoint, open.

    Raises:
        UserError: the extra is not installed, or the file was replaced while it was read.
    """
    try:
        import open_clip
    except ImportError as error:
        raise UserError(f"clip.model {model} needs open_clip", openclip.INSTALL) from error
    name = openclip.parse(model)
    how = preprocessing(name)
    built = open_clip.create_model(
        name.architecture,
        pretrained=file.name,
        force_preprocess_cfg={
            "mean": how.mean,
            "std": how.std,
            "interpolation": how.kernel,
            "resize_mode": how.resize,
        },
        require_pretrained=True,
        weights_only=True,
    )
    if not os.path.samestat(os.fstat(file.fileno()), Path(file.name).stat()):
        raise UserError(f"{file.name} was replaced while it was read", "run the command again")
    return OpenClip(built, name)


@functools.cache
def _tokenizer(architecture: str) -> Tokenizer:
    import open_clip

    try:
        return open_clip.get_tokenizer(architecture)
    except (OSError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"the tokenizer of {architecture} cannot be downloaded from the Hub ({why})",
            "download it where there is a network, and copy the Hub's cache",
        ) from error


def _length(tokenizer: Tokenizer, prompt: str) -> int:
    """How many tokens a prompt has with those that mark its ends."""
    if hasattr(tokenizer, "encode"):
        return len(tokenizer.encode(prompt)) + 2
    text = tokenizer.clean_fn(prompt)
    if tokenizer.tokenizer_mode == "clips":
        return len(tokenizer.tokenizer(text, add_special_tokens=False).input_ids) + 3
    return len(tokenizer.tokenizer(text).input_ids)
