import pytest
import torch

from maskquery.clip.openai import CLIP
from maskquery.clip.tiny import build_tiny_clip


@pytest.fixture(scope="session")
def clip() -> CLIP:
    """The tiny CLIP with random weights, all of which matter.

    OpenAI's initial values leave out the residual branches.
    """
    torch.manual_seed(0)
    model = build_tiny_clip()
    for name, weight in model.visual.named_parameters():
        if name.endswith("bn3.weight"):
            torch.nn.init.ones_(weight)
    return model
