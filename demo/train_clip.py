"""Train the tiny CLIP on crops of rendered rooms.

    python -m demo.train_clip --rooms DIR --work DIR --minutes 60 [--masks masks.zarr]

The crops are made by the pipeline's own code (`retrieval.clip.crops`), of ground-truth objects,
of parts and merged objects, and, with `--masks`, of the tiny SAM's own masks of the same rooms.

Captions name a class by templates and synonyms, some with one of the object's own words (colour,
material, design); a caption is right for a crop when its class and its words are. The loss asks
each crop and caption on its own whether they belong together (SigLIP, Zhai et al. 2023,
arXiv:2303.15343), which makes a fixed cosine threshold meaningful, plus a softmax over classes.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from demo.captions import CLASS_NAMES, Caption, draw_caption
from demo.training import VALIDATION_ROOMS, Training, arguments
from demo.training_data import TrainingRoom, find_rooms, read_room
from retrieval.clip.crops import MEAN, STD, cut
from retrieval.clip.openai import CLIP, tokenize
from retrieval.clip.settings import Settings, View
from retrieval.clip.tiny import IMAGE_SIZE, build_tiny_clip
from retrieval.mask_store import Store
from retrieval.masks import mask_boxes, pack, unpack

WORD_ROOMS = 300  # whose objects' words are learnt
VIEWS: tuple[View, ...] = ("crop", "masked", "blurred")
SMALLEST = 50  # pixels of a mask worth a crop
WORD_LENGTH = 0.7  # of a word's direction beside a class's, in the captions' geometry
PURE, MIXED = 0.65, 0.4  # share of a mask's pixels for its class; below MIXED: background
STUFF_NAMES = ("wall", "floor", "ceiling", "background")


def blob(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A smooth random region of an image, such as a young SAM draws on walls."""
    small = rng.normal(size=(int(rng.integers(3, 8)), int(rng.integers(3, 8)))).astype(np.float32)
    field = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
    spread = rng.uniform(0.05, 0.3) * max(shape)
    near = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * spread**2))
    mask: NDArray[np.bool_] = near * (1 + 0.5 * field) > 0.5
    return mask


def roughen(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """What is left of a mask at a quarter of the model's resolution, with an uncertain edge."""
    height, width = mask.shape
    low = (max(2, width // 8), max(2, height // 8))
    small = cv2.resize(mask.astype(np.float32), low, interpolation=cv2.INTER_AREA)
    noise = rng.normal(0, 0.25, (low[1] // 2 + 1, low[0] // 2 + 1)).astype(np.float32)
    small = small + cv2.resize(noise, low, interpolation=cv2.INTER_LINEAR)
    rough = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    result: NDArray[np.bool_] = rough & grown
    return result


def draw_mask(
    instances: NDArray[np.uint16],
    ids: NDArray[np.int64],
    weights: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """A mask as the generator may make it: an object, a rough one, a part, two merged, a blob."""
    kind = rng.random()
    if kind < 0.07:
        return blob(instances.shape, rng)
    mask: NDArray[np.bool_] = instances == rng.choice(ids, p=weights)
    if kind < 0.3:
        return mask
    if kind < 0.65:
        return roughen(mask, rng)
    if kind < 0.75:
        return mask | (instances == rng.choice(ids))
    rows, columns = np.nonzero(mask)
    angle = rng.uniform(0, 2 * np.pi)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    cut = np.zeros_like(mask)
    keep = along < np.quantile(along, rng.uniform(0.25, 0.75))
    cut[rows[keep], columns[keep]] = True
    return cut


def words_of(entry: dict[str, Any]) -> list[str]:
    """An object's main colour and material."""
    return [*entry["colours"][:1], *entry["materials"][:1]]


def classify(room: TrainingRoom, mask: NDArray[np.bool_]) -> tuple[str, list[str]] | None:
    """The class that most of a mask shows, with its object's words; None where it is undecided."""
    counts = np.bincount(room.instances[mask])
    shares: dict[str, float] = {}
    for number in np.flatnonzero(counts):
        name = room.objects[int(number)]["name"] if number else "background"
        name = name if name in CLASS_NAMES else "background"
        shares[name] = shares.get(name, 0.0) + counts[number] / counts.sum()
    if not shares:
        return None
    name = max(shares, key=lambda key: shares[key])
    if shares[name] < PURE:
        return ("background", []) if shares[name] < MIXED else None
    main = int(counts.argmax())
    if not main or name in STUFF_NAMES:
        return name, []
    entry = room.objects[main]
    return name, words_of(entry)


@dataclass
class Batch:
    """Crops (S, S, 3), their classes, and words that are true of them."""

    crops: list[NDArray[np.uint8]]
    classes: list[str]
    words: list[list[str]]

    def extend(self, other: "Batch") -> None:
        self.crops += other.crops
        self.classes += other.classes
        self.words += other.words


class Bias(nn.Module):
    """SigLIP's bias, a pair's logit at cosine 0; the pipeline's threshold takes its place."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(-6.0))


class Examples:
    """Draws training crops with the class and words that their mask's pixels earn."""

    def __init__(self, masks: Path | None) -> None:
        self.store = Store(masks) if masks else None
        self.known = set(self.store.images()) if self.store else set()

    def masks(
        self, room: TrainingRoom, name: str, count: int, rng: np.random.Generator
    ) -> list[NDArray[np.bool_]]:
        """About `count` masks of a room: half of them SAM's own where there are any."""
        counts = np.bincount(room.instances.ravel())
        ids = np.flatnonzero(counts >= SMALLEST)
        ids = ids[ids > 0]
        kinds = [room.objects[int(i)]["name"] for i in ids]
        # Classes are drawn alike however often they come, but for walls and the like.
        weights = np.array([(0.3 if k in STUFF_NAMES else 1.0) / kinds.count(k) for k in kinds])
        weights[[k == "chair" for k in kinds]] *= 2
        own: list[NDArray[np.bool_]] = []
        if self.store and name in self.known:
            stored = self.store.read(name)
            take = rng.permutation(len(stored.ids))[: (count + 1) // 2]
            own = list(unpack(stored.masks[take], stored.width))
        drawn = [
            draw_mask(room.instances, ids, weights / weights.sum(), rng)
            for _ in range(count - len(own))
        ]
        return own + drawn

    def draw(self, path: Path, count: int, rng: np.random.Generator) -> Batch:
        """About `count` crops of a room."""
        room = read_room(path)
        light = rng.normal(1.0, 0.08, 3) * rng.uniform(0.8, 1.2)
        tones = np.clip(np.arange(256)[:, None] * light, 0, 255).astype(np.uint8)  # (256, 3)
        image = np.asarray(cv2.LUT(room.image, tones[None]), np.uint8)
        batch = Batch([], [], [])
        for mask in self.masks(room, path.stem, count, rng):
            label = classify(room, mask)
            if label is None or np.count_nonzero(mask) < SMALLEST:
                continue
            packed = pack(mask)
            box = mask_boxes(packed[None], mask.shape[1])[0]
            settings = Settings(
                views=(VIEWS[rng.integers(len(VIEWS))],),
                crop_padding=float(rng.uniform(0.0, 0.2)),
                crop_shape="pad",
            )
            crop = cut(image, box, packed, settings, IMAGE_SIZE)[0]
            batch.crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
            batch.classes.append(label[0])
            batch.words.append(label[1])
        return batch


def normalise(crops: list[NDArray[np.uint8]]) -> Tensor:
    """Crops as CLIP's input (B, 3, S, S)."""
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def draw_batch_captions(words: list[list[str]], rng: np.random.Generator) -> list[Caption]:
    """Two plain captions of each class, and detailed ones with words that the batch holds."""
    captions = [draw_caption(name, [], rng) for name in CLASS_NAMES for _ in range(2)]
    pool = [group for group in words if group]
    for _ in range(30 if pool else 0):
        name = str(rng.choice(CLASS_NAMES[:-1]))
        captions.append(draw_caption(name, pool[int(rng.integers(len(pool)))], rng))
    return captions


def encode_captions(model: CLIP, captions: list[Caption]) -> Tensor:
    """Unit embeddings (T, D); the context is cut to the longest caption, which changes nothing."""
    tokens = tokenize([c.text for c in captions])
    longest = int(tokens.argmax(-1).max()) + 1
    return F.normalize(encode_tokens(model, tokens[:, :longest]), dim=-1)


def encode_tokens(model: CLIP, tokens: Tensor) -> Tensor:
    """`CLIP.encode_text` for a shorter context (the causal mask makes the rest irrelevant)."""
    length = tokens.shape[1]
    x = (model.token_embedding(tokens) + model.positional_embedding[:length]).transpose(0, 1)
    for block in model.transformer.resblocks:
        y = block.ln_1(x)
        mask = block.attn_mask[:length, :length]
        x = x + block.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        x = x + block.mlp(block.ln_2(x))
    x = model.ln_final(x.transpose(0, 1))
    ends: Tensor = x[torch.arange(len(tokens)), tokens.argmax(-1)] @ model.text_projection
    return ends


def training_loss(model: CLIP, bias: Bias, batch: Batch, captions: list[Caption]) -> Tensor:
    """Sigmoid loss over all pairs, positives weighing as much as negatives, plus class softmax."""
    images = F.normalize(model.encode_image(normalise(batch.crops)), dim=-1)
    texts = encode_captions(model, captions)
    truth = torch.tensor(
        [
            [c.class_name == k and set(c.words) <= set(w) for c in captions]
            for k, w in zip(batch.classes, batch.words, strict=True)
        ]
    ).float()
    cosine = images @ texts.T
    logits = cosine * model.logit_scale.exp() + bias.value
    pairs = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    sigmoid = (pairs * truth).sum() / truth.sum().clamp(min=1)
    sigmoid = sigmoid + (pairs * (1 - truth)).sum() / (1 - truth).sum() * 3
    plain = [i for i, c in enumerate(captions) if not c.words]
    scores = logits[:, plain]
    by_class = torch.stack(
        [
            scores[:, [j for j, i in enumerate(plain) if captions[i].class_name == name]].mean(1)
            for name in CLASS_NAMES
        ],
        dim=1,
    )
    target = torch.tensor([CLASS_NAMES.index(k) for k in batch.classes])
    return sigmoid + F.cross_entropy(by_class, target)


def learn_words(model: CLIP, words: list[str], steps: int, rng: np.random.Generator) -> None:
    """Teach the text encoder, alone and in a minute, how captions differ.

    Captions shall have the cosines that they had if classes and words were orthogonal directions,
    words being shorter. Afterwards the text encoder stays as it is: a fresh one maps all captions
    to nearly one point, and would spend the images' whole training leaving it.
    """
    text = [p for name, p in model.named_parameters() if not name.startswith("visual")]
    optimizer = torch.optim.AdamW(text, lr=2e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        captions = draw_batch_captions([[str(word)] for word in rng.choice(words, 40)], rng)
        concepts = torch.zeros(len(captions), len(CLASS_NAMES) + len(words))
        for row, caption in zip(concepts, captions, strict=True):
            row[CLASS_NAMES.index(caption.class_name)] = 1
            for word in caption.words:
                row[len(CLASS_NAMES) + words.index(word)] = WORD_LENGTH
        wanted = F.normalize(concepts, dim=-1)
        embeddings = encode_captions(model, captions)
        loss = F.mse_loss(embeddings @ embeddings.T, wanted @ wanted.T)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.inference_mode()
def validate(model: CLIP, crops: Tensor, classes: list[str]) -> dict[str, float]:
    """Accuracy over classes, and chair recall and precision, with the prompt "a CLASS"."""
    model.eval()
    texts = encode_captions(model, [Caption(f"a {name}", name, ()) for name in CLASS_NAMES])
    images = F.normalize(torch.cat([model.encode_image(part) for part in crops.split(256)]), dim=-1)
    cosine = images @ texts.T
    predicted = cosine.argmax(1)
    target = torch.tensor([CLASS_NAMES.index(k) for k in classes])
    chair = target == CLASS_NAMES.index("chair")
    found = predicted == CLASS_NAMES.index("chair")
    column = cosine[:, CLASS_NAMES.index("chair")]
    best = 0.0
    for threshold in torch.linspace(-0.5, 1, 61):
        above = column > threshold
        hits = float((above & chair).sum())
        best = max(best, 2 * hits / max(1.0, float(above.sum() + chair.sum())))
    return {
        "accuracy": float((predicted == target).float().mean()),
        "chair_recall": float(found[chair].float().mean()),
        "chair_precision": float(chair[found].float().mean()),
        "chair_best_f1_by_threshold": best,
    }


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], minutes=60, batch=12)
    parser.add_argument("--masks", type=Path, help="masks.zarr of (some of) the training rooms")
    parser.add_argument("--crops", type=int, default=12, help="per room")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    model, bias = build_tiny_clip(), Bias()
    model.logit_scale.data.fill_(math.log(15))
    training = Training(
        options.work,
        model,
        bias,
        minutes=options.minutes,
        peak=options.rate,
        weight_decay=0.05,
        start=options.start,
    )
    rooms = find_rooms(options.rooms)
    if not training.step and not options.start:
        some = [read_room(path).objects.values() for path in rooms[:WORD_ROOMS]]
        words = sorted({word for objects in some for entry in objects for word in words_of(entry)})
        learn_words(model, words, 600, np.random.default_rng(3))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("visual") or name == "logit_scale")
    examples = Examples(options.masks)
    with_masks = [path for path in rooms[VALIDATION_ROOMS:] if path.stem in examples.known]
    fixed = [
        examples.draw(path, 16, np.random.default_rng(index))
        for index, path in enumerate(rooms[:VALIDATION_ROOMS])
    ]
    crops = normalise([crop for example in fixed for crop in example.crops])
    classes = [name for example in fixed for name in example.classes]
    rng = np.random.default_rng([2, training.step])
    for _ in training.steps(lambda: validate(training.average, crops, classes)):
        batch = Batch([], [], [])
        for number in range(options.batch):
            pool = with_masks if with_masks and number % 2 else rooms[VALIDATION_ROOMS:]
            batch.extend(examples.draw(pool[rng.integers(len(pool))], options.crops, rng))
        captions = draw_batch_captions(batch.words, rng)
        training.learn(training_loss(model, bias, batch, captions))
        model.logit_scale.data.clamp_(math.log(10), math.log(100))


if __name__ == "__main__":
    main()
