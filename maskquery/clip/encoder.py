"""CLIP's two encoders: crops and prompts to embeddings of length 1."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from maskquery.clip import pooling
from maskquery.clip.crops import OPENAI, Cutter, Pixels, Preprocessing
from maskquery.clip.openai import CLIP, tokenize
from maskquery.clip.openclip import OpenClip
from maskquery.clip.settings import Settings
from maskquery.core.errors import UserError
from maskquery.masks.packed import Packed

Embeddings = npt.NDArray[np.float32]
Model: TypeAlias = CLIP | OpenClip
Job = tuple[slice, int]  # which masks, and the index of the view

CONTEXT = 77  # tokens, with one for the start and one for the end, in every CLIP of OpenAI's
BATCH_PIXELS = 64 * 224 * 224  # bounds the memory of a batch: 64 crops for most of OpenAI's models
CPU_BATCH_PIXELS = 8 * 224 * 224  # larger batches are no faster, and leave threads idle

# The names of a convolution and of the batch norm behind it in the modules of OpenAI's ResNets.
_FOLDED = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))


def resolution(model: Model) -> int:
    """R, the side of the model's input, pixels."""
    if isinstance(model, OpenClip):
        return model.resolution
    return int(model.visual.input_resolution)


def dimensions(model: Model) -> int:
    """D, the length of an embedding."""
    if isinstance(model, OpenClip):
        return model.dimensions
    return int(model.text_projection.shape[1])


def preprocessing(model: Model) -> Preprocessing:
    """What the model is shown: the same for all of OpenAI's."""
    return model.preprocessing if isinstance(model, OpenClip) else OPENAI


def batches(model: Model, count: int) -> list[slice]:
    """Divide `count` crops into batches of nearly equal length that fit memory (or the CPU)."""
    most = CPU_BATCH_PIXELS if _on_cpu(model) else BATCH_PIXELS
    parts = -(-count // max(1, most // resolution(model) ** 2))
    edges = [count * part // parts for part in range(parts)] if parts else []
    return [slice(start, stop) for start, stop in itertools.pairwise([*edges, count])]


def _on_cpu(model: Model) -> bool:
    return bool(model.logit_scale.device.type == "cpu")


def prepare(model: Model) -> Model:
    """Change `model` so that it encodes images faster; results are equal up to rounding.

    Batch norms are folded into the convolutions before them. The convolutions' weights get the
    channels-last layout, which is that of crops. The last step is replaced by that of `pooling`.
    Models of OpenCLIP's are of many architectures, and stay as they are.

    Returns:
        `model` itself.
    """
    if isinstance(model, OpenClip):
        return model
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
    model: Model, image: Pixels, boxes: npt.NDArray[np.int32], masks: Packed, settings: Settings
) -> Embeddings:
    """Encode V views of N masks of an image.

    A batch holds crops of one view, so that an embedding does not depend, even in its last bit, on
    which other views are computed.

    On the CPU each thread cuts and encodes whole batches: operations of this size gain little from
    threads within them, and the number of threads changes no result. On a GPU crops are cut while
    earlier ones are encoded.

    >>> from maskquery.clip import loading
    >>> from maskquery.masks.packed import pack
    >>> model = prepare(loading.load("tiny", torch.device("cpu")))
    >>> image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    >>> mask = np.zeros((1, 60, 80), bool)
    >>> mask[0, 20:40, 30:50] = True
    >>> settings = Settings(
    ...     tier="exact", views=("crop", "masked"), crop_padding=0.1, crop_shape="square",
    ...     mirrored=False, clahe=0)
    >>> boxes = np.array([[30, 20, 50, 40]], np.int32)
    >>> encode_masks(model, image, boxes, pack(mask), settings).shape  # N, V, D
    (1, 2, 128)

    Args:
        model: CLIP, from `prepare`.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) int32, x0, y0, x1, y1 in pixels, half-open.
        masks: (N, H, W8) uint8, packed bits.
        settings: how crops are cut and encoded.

    Returns:
        (N, V, D) float32, each of length 1.
    """
    cut = Cutter(image, settings, resolution(model), preprocessing(model))
    views = settings.views
    embeddings = np.empty((len(boxes), len(views), dimensions(model)), np.float32)
    jobs = list(itertools.product(batches(model, len(boxes)), range(len(views))))

    def crops(job: Job, pool: Executor | None = None) -> Iterator[Pixels]:
        rows, view = job
        each = pool.map if pool else map
        return each(lambda box, mask: cut(box, mask, views[view]), boxes[rows], masks[rows])

    def encode(job: Job, crops: Iterator[Pixels]) -> None:
        rows, view = job
        embeddings[rows, view] = _encode(model, np.stack(list(crops)), settings)

    if _on_cpu(model):
        with ThreadPoolExecutor(
            torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            list(pool.map(lambda job: encode(job, crops(job)), jobs))
    else:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            batch_crops = ((job, crops(job, pool)) for job in jobs)
            queue = list(itertools.islice(batch_crops, 1))
            while queue:
                queue += itertools.islice(batch_crops, 1)
                encode(*queue.pop(0))
    return embeddings


def _encode(model: Model, crops: Pixels, settings: Settings) -> Embeddings:
    """As `encode_images`; if `mirrored`, the normalised mean with the crops' mirror images."""
    bf16 = settings.tier == "fast"
    vectors = encode_images(model, crops, bf16=bf16)
    if settings.mirrored:
        vectors += encode_images(model, np.ascontiguousarray(crops[:, :, ::-1]), bf16=bf16)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@torch.inference_mode()
def encode_images(model: Model, crops: Pixels, *, bf16: bool = False) -> Embeddings:
    """Encode a batch of crops. Which crops share a batch changes embeddings by rounding only.

    Args:
        model: CLIP.
        crops: (B, R, R, 3) uint8 RGB.
        bf16: compute in bfloat16.

    Returns:
        (B, D) float32, each of length 1.
    """
    device = model.logit_scale.device
    pixels = torch.from_numpy(crops).to(device).float()  # (B, R, R, 3)
    colours = preprocessing(model)[:2]
    mean, std = (255 * torch.tensor(colour, device=device) for colour in colours)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        return _unit(model.encode_image(pixels.sub_(mean).div_(std).permute(0, 3, 1, 2)))


@torch.inference_mode()
def encode_texts(model: Model, prompts: Sequence[str]) -> Embeddings:
    """Encode P prompts as they are, without a template: (P, D) float32, each of length 1.

    Raises:
        UserError: as `tokens`.
    """
    if isinstance(model, OpenClip):
        return _unit(model.encode_text(model.tokens(prompts).to(model.logit_scale.device)))
    return _unit(model.encode_text(tokens(prompts).to(model.logit_scale.device)))


def tokens(prompts: Sequence[str]) -> Tensor:
    """Tokenize P prompts: (P, 77) integers.

    Raises:
        UserError: a prompt has more tokens than CLIP reads; none is truncated.
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
