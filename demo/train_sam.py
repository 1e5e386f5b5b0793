"""Train the tiny SAM on rendered rooms.

    python -m demo.train_sam --rooms DIR --work DIR --minutes 100

The learning rate follows the share of `--minutes` that is used up, and every checkpoint in `--work`
holds what a resumed run needs, so the same command goes on where it was stopped.

What made the difference: class-balanced cross-entropy plus linear dice, minimum over the three
masks; and dense auxiliary heads on the image embedding (class, boundary, offset to the object's
centre at stride 4), which teach the encoder from every pixel and not only from the sampled points.
The heads are thrown away afterwards.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor, nn

from demo.training import VALIDATION_ROOMS, Training, arguments
from demo.training_data import TrainingRoom, find_rooms, read_room
from maskquery.sam.tiny import IMAGE_SIZE, PROMPT_DIM, STRIDE, build_tiny_sam

LOW = IMAGE_SIZE // 4  # side of the low-resolution masks
CLASS_COUNT = 17
CHAIR = 6
STUFF = (0, 1, 2, 3)  # void, wall, floor, ceiling: large, and learnt in minutes
MASK_WEIGHT_MEAN = 0.1  # of the mean over the three masks, beside their minimum


@dataclass
class Sample:
    """One augmented room: what the loss needs, at the model's input size."""

    image: NDArray[np.float32]  # (3, S, S) normalised, padded with zeros
    points: NDArray[np.float32]  # (P, 2) x, y in input pixels
    masks: NDArray[np.float32]  # (P, S/4, S/4) share of each cell that the object covers
    valid: NDArray[np.float32]  # (S/4, S/4) 0 in the padding
    labels: NDArray[np.int64]  # (S/4, S/4) class
    offsets: NDArray[np.float32]  # (2, S/4, S/4) to the centre of the cell's object, in cells / 16
    boundary: NDArray[np.float32]  # (S/4, S/4) 1 where a neighbour belongs to another object
    chairs: NDArray[np.bool_]  # (P,) whether the point's object is a chair


def augment(room: TrainingRoom, rng: np.random.Generator) -> TrainingRoom:
    """A random window, mirrored at random, in random light."""
    height, width = room.instances.shape
    scale = rng.uniform(0.55, 1.0) if rng.random() < 0.6 else 1.0
    h, w = int(height * scale), int(width * scale)
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    image = room.image[top : top + h, left : left + w]
    instances = room.instances[top : top + h, left : left + w]
    if rng.random() < 0.5:
        image, instances = image[:, ::-1], instances[:, ::-1]
    light = rng.normal(1.0, 0.12, 3) * rng.uniform(0.75, 1.25)
    image = np.clip(image * light + rng.normal(0, 8), 0, 255).astype(np.uint8)
    return TrainingRoom(image, np.ascontiguousarray(instances), room.objects)


def make_sample(room: TrainingRoom, points: int, rng: np.random.Generator) -> Sample:
    """Resize a room to the model's input and draw prompt points, mostly by object."""
    height, width = room.instances.shape
    scale = IMAGE_SIZE / max(height, width)
    h, w = round(height * scale), round(width * scale)
    image = cv2.resize(room.image, (w, h), interpolation=cv2.INTER_AREA)
    small = cv2.resize(room.instances, (w, h), interpolation=cv2.INTER_NEAREST)
    instances = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.int64)
    instances[:h, :w] = small
    padded = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.float32)
    padded[:h, :w] = (image - np.array([123.675, 116.28, 103.53])) / [58.395, 57.12, 57.375]

    table = np.zeros(max(int(instances.max()), *room.objects) + 1, np.int64)
    for number, entry in room.objects.items():
        table[number] = entry["label"]
    ids, counts = np.unique(small, return_counts=True)
    keep = (ids > 0) & (counts >= 24)
    ids, counts = ids[keep], counts[keep]
    labels = table[ids]
    weights = np.where(labels == CHAIR, 3.0, np.where(np.isin(labels, STUFF), 0.35, 1.0))
    chosen = rng.choice(len(ids), points, p=weights / weights.sum())

    flat = small.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], ids)
    picks = order[starts[chosen] + (rng.random(points) * counts[chosen]).astype(np.int64)]
    xy = np.stack([picks % w, picks // w], axis=1) + 0.5

    own = instances[None] == ids[chosen][:, None, None]
    masks = own.reshape(points, LOW, 4, LOW, 4).mean(axis=(2, 4), dtype=np.float32)
    cells = instances[2::4, 2::4]
    valid = np.zeros((LOW, LOW), np.float32)
    valid[: math.ceil(h / 4), : math.ceil(w / 4)] = 1
    centre = np.zeros((len(table), 2))
    rows, columns = np.divmod(order, w)
    for number, start, count in zip(ids, starts, counts, strict=True):
        part = slice(start, start + count)
        centre[number] = columns[part].mean() / 4, rows[part].mean() / 4
    grid = np.stack(np.meshgrid(np.arange(LOW), np.arange(LOW)))
    offsets = (centre[cells].transpose(2, 0, 1) - grid) / 16
    edge = np.zeros((LOW, LOW), bool)
    edge[:, 1:] |= cells[:, 1:] != cells[:, :-1]
    edge[1:] |= cells[1:] != cells[:-1]
    return Sample(
        padded.transpose(2, 0, 1),
        xy.astype(np.float32),
        masks,
        valid,
        table[cells],
        offsets.astype(np.float32),
        edge.astype(np.float32),
        labels[chosen] == CHAIR,
    )


class DenseHeads(nn.Module):
    """Class, boundary and centre offset at stride 4, from the image embedding alone."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Conv2d(PROMPT_DIM, (CLASS_COUNT + 3) * (STRIDE // 4) ** 2, 1)
        self.shuffle = nn.PixelShuffle(STRIDE // 4)

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.shuffle(self.project(embedding))
        return x[:, :CLASS_COUNT], x[:, CLASS_COUNT], x[:, CLASS_COUNT + 1 :]


def decode(sam: Sam, embeddings: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """SAM's mask decoder over several images at once.

    Embeddings (B, C, G, G) and points (B, P, 2) give mask logits (B, P, 3, 4G, 4G) and predicted
    IoU (B, P, 3). Upstream's own `forward` takes one image.
    """
    batch, count = points.shape[:2]
    flat = points.reshape(batch * count, 1, 2)
    ones = torch.ones(batch * count, 1, dtype=torch.int)
    sparse, dense = sam.prompt_encoder(points=(flat, ones), boxes=None, masks=None)
    decoder = sam.mask_decoder
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(batch * count, -1, -1), sparse], dim=1)
    source = embeddings.repeat_interleave(count, dim=0) + dense
    positions = sam.prompt_encoder.get_dense_pe().expand(batch * count, -1, -1, -1)
    hidden, image_tokens = decoder.transformer(source, positions, tokens)
    upscaled = decoder.output_upscaling(image_tokens.transpose(1, 2).reshape(source.shape))
    weights = torch.stack(
        [decoder.output_hypernetworks_mlps[i](hidden[:, 1 + i]) for i in range(1, 4)], dim=1
    )
    logits = (weights @ upscaled.flatten(2)).view(batch, count, 3, *upscaled.shape[-2:])
    scores = decoder.iou_prediction_head(hidden[:, 0])[:, 1:].view(batch, count, 3)
    return logits, scores


def ious(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """IoU (B, P, 3) of thresholded logits with the target, inside the image."""
    predicted = (logits > 0) & (valid[:, None, None] > 0)
    wanted = (target > 0.5)[:, :, None]
    both = (predicted & wanted).sum((-1, -2)).float()
    return both / (predicted | wanted).sum((-1, -2)).clamp(min=1).float()


def mask_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Balanced cross-entropy plus dice (B, P, 3): each side of the mask's edge weighs the same."""
    wanted = target[:, :, None].expand_as(logits)
    inside = valid[:, None, None]
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * inside
    positive, negative = wanted * inside, (1 - wanted) * inside
    share = (entropy * positive).sum((-1, -2)) / positive.sum((-1, -2)).clamp(min=1)
    rest = (entropy * negative).sum((-1, -2)) / negative.sum((-1, -2)).clamp(min=1)
    near = F.max_pool2d(target, 7, 1, 3)[:, :, None] * (1 - wanted) * inside
    close = (entropy * near).sum((-1, -2)) / near.sum((-1, -2)).clamp(min=1)
    probability = logits.sigmoid() * inside
    overlap = (probability * wanted).sum((-1, -2))
    dice = 1 - (2 * overlap + 1) / (probability.sum((-1, -2)) + positive.sum((-1, -2)) + 1)
    return share + 0.5 * rest + 0.5 * close + 2 * dice


def training_loss(
    sam: Sam, heads: DenseHeads, batch: dict[str, Tensor], *, bf16: bool = False
) -> Tensor:
    """Masks, predicted IoU, and what the dense heads see; the losses are float32 throughout."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        embeddings = sam.image_encoder(batch["image"])
        outputs = *decode(sam, embeddings, batch["points"]), *heads(embeddings)
    logits, scores, classes, boundary, offsets = (output.float() for output in outputs)
    losses = mask_loss(logits, batch["masks"], batch["valid"])
    truth = ious(logits.detach(), batch["masks"], batch["valid"])
    masks = losses.min(-1).values.mean() + MASK_WEIGHT_MEAN * losses.mean()
    quality = F.mse_loss(scores, truth)
    valid = batch["valid"]
    total = valid.sum()
    semantic = (F.cross_entropy(classes, batch["labels"], reduction="none") * valid).sum() / total
    edges = F.binary_cross_entropy_with_logits(boundary, batch["boundary"], reduction="none")
    known = valid * (batch["labels"] > 3)
    shift = (offsets - batch["offsets"]).abs().sum(1)
    dense = semantic + (edges * valid).sum() / total + 2 * (shift * known).sum() / known.sum()
    return masks + 2 * quality + 0.5 * dense


def collate(samples: list[Sample]) -> dict[str, Tensor]:
    names = ("image", "points", "masks", "valid", "labels", "offsets", "boundary")
    return {name: torch.from_numpy(np.stack([getattr(s, name) for s in samples])) for name in names}


@torch.inference_mode()
def validate(sam: Sam, samples: list[Sample]) -> dict[str, float]:
    """Mean IoU over points: best of three, chosen by the model, and both for chairs."""
    sam.eval()
    best, chosen, chairs = [], [], []
    for sample in samples:
        batch = collate([sample])
        logits, scores = decode(sam, sam.image_encoder(batch["image"]), batch["points"])
        truth = ious(logits, batch["masks"], batch["valid"])
        best.append(truth.max(-1).values[0])
        chosen.append(truth.gather(-1, scores.argmax(-1, keepdim=True))[0, :, 0])
        chairs.append(torch.from_numpy(sample.chairs))
    is_chair = torch.cat(chairs)
    every, own = torch.cat(best), torch.cat(chosen)
    return {
        "best": float(every.mean()),
        "chosen": float(own.mean()),
        "chairs_best": float(every[is_chair].mean()),
        "chairs_chosen": float(own[is_chair].mean()),
        "chairs_over_0.75": float((every[is_chair] > 0.75).float().mean()),
    }


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], minutes=100, batch=8)
    parser.add_argument("--points", type=int, default=10, help="per room")
    parser.add_argument("--bf16", action="store_true", help="faster where the CPU has AVX512-BF16")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    sam, heads = build_tiny_sam(), DenseHeads()
    training = Training(
        options.work,
        sam,
        heads,
        minutes=options.minutes,
        peak=options.rate,
        weight_decay=0.02,
        start=options.start,
    )
    rooms = find_rooms(options.rooms)
    fixed = [
        make_sample(read_room(path), 24, np.random.default_rng(index))
        for index, path in enumerate(rooms[:VALIDATION_ROOMS])
    ]
    rng = np.random.default_rng([1, training.step])
    for _ in training.steps(lambda: validate(training.average, fixed)):
        picked = rng.integers(VALIDATION_ROOMS, len(rooms), options.batch)
        samples = [
            make_sample(augment(read_room(rooms[i]), rng), options.points, rng) for i in picked
        ]
        training.learn(training_loss(sam, heads, collate(samples), bf16=options.bf16))


if __name__ == "__main__":
    main()
