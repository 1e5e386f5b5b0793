"""What CLIP cannot read, told of prompts before any model is loaded."""

import importlib.util
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from maskquery.core.errors import UserError
from maskquery.models.openclip import is_name

CONTEXT = 77
"""Tokens that CLIP reads, with those for the begin and the end."""

_NEGATION = re.compile(r"\b(not|no|without|never|except|isn't|aren't)\b", re.IGNORECASE)


def expect_short(
    model: str, prompts: Iterable[str], templates: Sequence[str], key: str = ""
) -> None:
    """Refuse prompts of more tokens than CLIP reads; of OpenCLIP's models the encoder does so.

    Args:
        model: CLIP's name.
        prompts: as the user wrote them.
        templates: that each is put into.
        key: of params.yaml where the prompts are, for the message.

    Raises:
        UserError: naming the first that is too long.
    """
    if is_name(model):
        return
    for prompt in prompts:
        for template in templates:
            count = len(_tokenizer().encode(template.replace("{}", prompt))) + 2
            if count > CONTEXT:
                where = f"{key}: " if key else ""
                within = "" if template == "{}" else f" in the template {template!r}"
                raise UserError(
                    f"{where}the prompt {_shorten(prompt)!r} has {count} tokens{within}, and CLIP "
                    f"reads {CONTEXT}",
                    "shorten it",
                )


def negations(prompts: Iterable[str]) -> list[str]:
    """The prompts with a negation, which CLIP does not understand.

    >>> negations(["a chair", "not a chair", "a table without a lamp", "a knot"])
    ['not a chair', 'a table without a lamp']
    """
    return [prompt for prompt in prompts if _NEGATION.search(prompt)]


def warning(prompts: Iterable[str]) -> str:
    """A line about prompts with a negation; "" if there is none."""
    some = negations(prompts)
    if not some:
        return ""
    more = f" and {len(some) - 1} more" if len(some) > 1 else ""
    return (
        f"CLIP reads no negation: {_shorten(some[0])!r}{more} scores highest what it names; put "
        "what is not meant into scores.negative_prompts"
    )


def _shorten(prompt: str) -> str:
    return prompt if len(prompt) <= 60 else f"{prompt[:57]}..."


@cache
def _tokenizer() -> Any:
    """CLIP's own. Its package imports torch, so the tokenizer's file is loaded by itself."""
    package = importlib.util.find_spec("clip")
    if package is None or package.origin is None:
        raise ImportError("clip is not installed", name="clip")
    path = Path(package.origin).with_name("simple_tokenizer.py")
    spec = importlib.util.spec_from_file_location("clip_simple_tokenizer", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded", name="clip")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()
