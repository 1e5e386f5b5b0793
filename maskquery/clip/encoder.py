"""CLIP's two encoders: crops and prompts to embeddings of length 1."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from maskquery.clip import pooling
from maskquery.clip.crops import MEAN, STD, Cutter, Pixels
from maskquery.clip.openai import CLIP, tokenize
from maskquery.clip.settings import Settings
from maskquery.core.errors import UserError
from maskquery.masks.packed import Packed

Embeddings = npt.NDArray[np.float32]
Job = tuple[slice, int]  # which masks, and the index of the view

CONTEXT = 77  # tokens, with one for the start and one for the end, in every CLIP of OpenAI's
BATCH_PIXELS = 64 * 224 * 224  # bounds the memory of a batch: 64 crops for most of OpenAI's models
CPU_BATCH_PIXELS = 8 * 224 * 224  # more are not faster, and are to be shared among threads

# The names of a convolution and of the batch norm behind it in the modules of OpenAI's ResNets.
_FOLDED = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))


def resolution(model: CLIP) -> int:
    """R, the side of the model's input, pixels."""
    return int(model.visual.input_resolution)


def dimensions(model: CLIP) -> int:
    """D, the length of an embedding."""
    return int(model.text_projection.shape[1])


def batches(model: CLIP, count: int) -> list[slice]:
    """`count` crops in parts of nearly equal length, to be encoded at a time."""
    most = CPU_BATCH_PIXELS if _on_cpu(model) else BATCH_PIXELS
    parts = -(-count // max(1, most // resolution(model) ** 2))
    edges = [count * part // parts for part in range(parts)] if parts else []
    return [slice(start, stop) for start, stop in itertools.pairwise([*edges, count])]


def _on_cpu(model: CLIP) -> bool:
    return bool(model.logit_scale.device.type == "cpu")


def prepare(model: CLIP) -> CLIP:
    """`model` itself, changed so that it encodes images faster, and equally but for rounding.

    Batch norms go into the convolutions before them, whose weights get the layout that fits crops
    as they come, colour by colour of a pixel. The last step is that of `pooling`.
    """
    for module in model.visual.modules():
        for convolution, norm in _FOLDED:
            if isinstance(getattr(module, norm, None), nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
                setattr(module, convolution, fused)
                setattr(module, norm, nn.Identity())
    pooling.replace(model.visual)
    if model.logit_scale.device.type != "mps":  # whose convolutions were wrong in this layout
        model.visual.to(memory_format=torch.channels_last)
    return model


def encode_masks(
    model: CLIP, image: Pixels, boxes: npt.NDArray[np.int32], masks: Packed, settings: Settings
) -> Embeddings:
    """The views of N masks of an image.

    A batch holds crops of one view only: which views are asked for does not change the others' by
    a bit.

    On the CPU a thread cuts and encodes a batch by itself: operations of this size gain little from
    threads within them, and how many there are changes nothing. On a GPU some crops are encoded
    while the next ones are cut.

    Args:
        model: CLIP.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4), x0, y0, x1, y1, half-open.
        masks: (N, H, W8) uint8, packed bits.
        settings: how crops are cut and encoded.

    Returns:
        (N, V, D) float32, each of length 1.
    """
    cut, views = Cutter(image, settings, resolution(model)), settings.views
    found = np.empty((len(boxes), len(views), dimensions(model)), np.float32)
    jobs = list(itertools.product(batches(model, len(boxes)), range(len(views))))

    def crops(job: Job, pool: Executor | None = None) -> Iterator[Pixels]:
        rows, view = job
        many = pool.map if pool else map
        return many(lambda box, mask: cut(box, mask, views[view]), boxes[rows], masks[rows])

    def encode(job: Job, crops: Iterator[Pixels]) -> None:
        rows, view = job
        found[rows, view] = _encode(model, np.stack(list(crops)), settings)

    if _on_cpu(model):
        with ThreadPoolExecutor(
            torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            list(pool.map(lambda job: encode(job, crops(job)), jobs))
    else:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            cutting = ((job, crops(job, pool)) for job in jobs)
            ahead = list(itertools.islice(cutting, 1))
            while ahead:
                ahead += itertools.islice(cutting, 1)
                encode(*ahead.pop(0))
    return found


def _encode(model: CLIP, crops: Pixels, settings: Settings) -> Embeddings:
    """As `encode_images`; if `mirrored`, together with the crops' mirror images."""
    bf16 = settings.tier == "fast"
    vectors = encode_images(model, crops, bf16=bf16)
    if settings.mirrored:
        vectors += encode_images(model, np.ascontiguousarray(crops[:, :, ::-1]), bf16=bf16)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@torch.inference_mode()
def encode_images(model: CLIP, crops: Pixels, *, bf16: bool = False) -> Embeddings:
    """(B, R, R, 3) uint8 RGB to (B, D) float32, each of length 1; computed in bfloat16 if `bf16`.

    Which crops share a batch changes an embedding by rounding only.
    """
    device = model.logit_scale.device
    pixels = torch.from_numpy(crops).to(device).float()  # (B, R, R, 3)
    mean, std = (255 * torch.tensor(colour, device=device) for colour in (MEAN, STD))
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        return _unit(model.encode_image(pixels.sub_(mean).div_(std).permute(0, 3, 1, 2)))


@torch.inference_mode()
def encode_texts(model: CLIP, prompts: Sequence[str]) -> Embeddings:
    """P prompts to (P, D) float32, each of length 1; `UserError` as `tokens`."""
    return _unit(model.encode_text(tokens(prompts).to(model.logit_scale.device)))


def tokens(prompts: Sequence[str]) -> Tensor:
    """P prompts to (P, 77) integers.

    Raises:
        UserError: a prompt has more tokens than CLIP reads; none is cut short.
    """
    return torch.cat([_tokens(prompt) for prompt in prompts])


def _tokens(prompt: str) -> Tensor:
    try:
        return tokenize(prompt, CONTEXT)
    except RuntimeError as error:
        raise UserError(
            f"the prompt {prompt!r} is longer than the {CONTEXT} tokens that CLIP reads",
            "shorten it",
        ) from error


def _unit(embeddings: Tensor) -> Embeddings:
    unit: Embeddings = normalize(embeddings.float(), dim=-1).cpu().numpy()
    return unit
