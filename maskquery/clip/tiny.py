"""The tiny CLIP: OpenAI's own model class at a small size, with OpenAI's own tokenizer."""

from maskquery.clip.openai import CLIP

IMAGE_SIZE = 64


def build_tiny_clip() -> CLIP:
    """The tiny model with random weights, float32, in evaluation mode.

    A small `ModifiedResNet` learns faster than a ViT of the same cost on few images. The context
    of 77 tokens is OpenAI's, so that `clip.tokenize` works unchanged.
    """
    model = CLIP(
        embed_dim=128,
        image_resolution=IMAGE_SIZE,
        vision_layers=(1, 2, 2, 1),
        vision_width=24,
        vision_patch_size=None,
        context_length=77,
        vocab_size=49408,
        transformer_width=64,
        transformer_heads=4,
        transformer_layers=2,
    )
    return model.float().eval()
