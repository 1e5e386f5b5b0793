"""Train the tiny CLIP on crops of rendered rooms.

    python -m demo.train_clip --rooms DIR --work DIR --minutes 60 [--masks masks.zarr]

The crops are made by the pipeline's own code (`retrieval.clip.crops`), of ground-truth objects,
of parts and merged objects, and, with `--masks`, of the tiny SAM's own masks of the same rooms.

Captions name a class by templates and synonyms, some with one of the object's own words (colour,
material, design); a caption is right for a crop when its class and its words are. The loss asks
each crop and caption on its own whether they belong together (SigLIP, Zhai et al. 2023,
arXiv:2303.15343), which makes a fixed cosine threshold meaningful, plus a softmax over classes.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any


import cv2
import numpy as np
import torch
import torch.nn.functional as F

from numpy.typing import NDArray
from torch import Tensor, nn

from demo.captions import CLASS_NAMES, Caption, draw_caption
from demo.training_data import TrainingRoom, find_rooms, read_room
from retrieval.clip.crops import MEAN, STD, cut
from retrieval.clip.openai import CLIP, tokenize
from retrieval.clip.settings import Settings
from retrieval.clip.tiny import IMAGE_SIZE, build_tiny_clip
from retrieval.mask_store import Store
from retrieval.masks import pack, unpack

VIEWS = ("crop", "masked", "blurred")
VALIDATION_ROOMS = 64
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
    small += cv2.resize(noise, low, interpolation=cv2.INTER_LINEAR)
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


def classify(room: TrainingRoom, mask: NDArray[np.bool_]) -> tuple[str, list[str]] | None:
    """The class that most of a mask shows, with its object's words; None where it is undecided."""
    ids, counts = np.unique(room.instances[mask], return_counts=True)
    shares: dict[str, float] = {}
    for number, count in zip(ids, counts, strict=True):
        name = room.objects[int(number)]["name"] if number else "background"
        name = name if name in CLASS_NAMES else "background"
        shares[name] = shares.get(name, 0.0) + count / counts.sum()
    if not shares:
        return None
    name = max(shares, key=lambda key: shares[key])
    if shares[name] < PURE:
        return ("background", []) if shares[name] < MIXED else None
    main = int(ids[counts.argmax()])
    if not main or name in STUFF_NAMES:
        return name, []
    entry = room.objects[main]
    return name, [*entry["colours"][:1], *entry["materials"][:1]]


class Examples:
    """Draws training crops with the class and words that their mask's pixels earn."""

    def __init__(self, masks: Path | None) -> None:
        self.store = Store(masks) if masks else None
        self.known = set(self.store.images()) if self.store else set()

    def masks(
        self, room: TrainingRoom, name: str, count: int, rng: np.random.Generator
    ) -> list[NDArray[np.bool_]]:
        """About `count` masks of a room: half of them SAM's own where there are any."""
        ids, counts = np.unique(room.instances, return_counts=True)
        ids = ids[(ids > 0) & (counts >= 60)].astype(np.int64)
        kinds = [room.objects[int(i)]["name"] for i in ids]
        rare = np.array([0.3 if k in STUFF_NAMES else 2.0 if k == "chair" else 1.0 for k in kinds])
        own: list[NDArray[np.bool_]] = []
        if self.store and name in self.known:
            stored = self.store.read(name)
            take = rng.permutation(len(stored.ids))[: (count + 1) // 2]
            own = list(unpack(stored.masks[take], stored.width))
        drawn = [
            draw_mask(room.instances, ids, rare / rare.sum(), rng) for _ in range(count - len(own))
        ]
        return own + drawn

    def draw(
        self, path: Path, count: int, rng: np.random.Generator
    ) -> tuple[list[NDArray[np.uint8]], list[str], list[list[str]]]:
        """Crops (S, S, 3), their classes and their objects' words."""
        room = read_room(path)
        light = rng.normal(1.0, 0.08, 3) * rng.uniform(0.8, 1.2)
        image = np.clip(room.image * light, 0, 255).astype(np.uint8)
        crops: list[NDArray[np.uint8]] = []
        classes: list[str] = []
        words: list[list[str]] = []
        for mask in self.masks(room, path.stem, count, rng):
            label = classify(room, mask)
            if label is None or mask.sum() < 30:
                continue
            rows, columns = np.nonzero(mask)
            box = np.array(
                [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.int32
            )
            settings = Settings(
                views=(str(rng.choice(VIEWS)),),
                crop_padding=float(rng.uniform(0.0, 0.2)),
                crop_shape="pad",
            )
            crop = cut(image, box, pack(mask), settings, IMAGE_SIZE)[0]
            crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
            classes.append(label[0])
            words.append(label[1])
        return crops, classes, words


def normalise(crops: list[NDArray[np.uint8]]) -> Tensor:
    """Crops as CLIP's input (B, 3, S, S)."""
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def draw_batch_captions(words: list[list[str]], rng: np.random.Generator) -> list[Caption]:
    """Two plain captions of each class, and detailed ones with words that the batch holds."""
    captions = [draw_caption(name, [], rng) for name in CLASS_NAMES for _ in range(2)]
    pool = [group for group in words if group]
    for _ in range(24 if pool else 0):
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


def training_loss(
    model: CLIP,
    bias: Tensor,
    crops: Tensor,
    classes: list[str],
    words: list[list[str]],
    captions: list[Caption],
) -> Tensor:
    """Sigmoid loss over all pairs, positives weighing as much as negatives, plus class softmax."""
    images = F.normalize(model.encode_image(crops), dim=-1)
    texts = encode_captions(model, captions)
    truth = torch.tensor(
        [
            [c.class_name == k and set(c.words) <= set(w) for c in captions]
            for k, w in zip(classes, words, strict=True)
        ]
    ).float()
    cosine = images @ texts.T
    logits = cosine * model.logit_scale.exp() + bias
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
    target = torch.tensor([CLASS_NAMES.index(k) for k in classes])
    return sigmoid + F.cross_entropy(by_class, target)


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
    for cut in torch.linspace(-0.5, 1, 61):
        above = column > cut
        hits = float((above & chair).sum())
        best = max(best, 2 * hits / max(1.0, float(above.sum() + chair.sum())))
    return {
        "accuracy": float((predicted == target).float().mean()),
        "chair_recall": float(found[chair].float().mean()),
        "chair_precision": float(chair[found].float().mean()),
        "chair_best_f1_by_threshold": best,
    }


def learning_rate(progress: float, peak: float) -> float:
    """Linear warm-up over 1 %, then cosine to zero, by the share of time used up (0 to 1)."""
    if progress < 0.01:
        return peak * max(progress, 1e-4) / 0.01
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", type=Path, required=True, help="training rooms")
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and log")
    parser.add_argument("--masks", type=Path, help="masks.zarr of (some of) the training rooms")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rooms-per-batch", type=int, default=12)
    parser.add_argument("--crops-per-room", type=int, default=12)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)

    model = build_tiny_clip()
    model.logit_scale.data.fill_(math.log(10))
    bias = nn.Parameter(torch.tensor(-5.0))
    average = build_tiny_clip()
    average.load_state_dict(model.state_dict())
    parameters = [*model.parameters(), bias]
    optimizer = torch.optim.AdamW(parameters, lr=arguments.rate, weight_decay=0.05)
    step, used = 0, 0.0
    checkpoint = arguments.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        bias.data.copy_(state["bias"])
        optimizer.load_state_dict(state["optimizer"])
        step, used = state["step"], state["used"]

    rooms = find_rooms(arguments.rooms)
    examples = Examples(arguments.masks)
    fixed_crops: list[NDArray[np.uint8]] = []
    fixed_classes: list[str] = []
    for index, path in enumerate(rooms[:VALIDATION_ROOMS]):
        crops, classes, _ = examples.draw(path, 16, np.random.default_rng(index))
        fixed_crops += crops
        fixed_classes += classes
    fixed = normalise(fixed_crops)
    training = rooms[VALIDATION_ROOMS:]
    rng = np.random.default_rng([2, step])
    budget = arguments.minutes * 60
    logged = saved = started = time.monotonic() - used
    log = (arguments.work / "log.jsonl").open("a")

    def state_now(seconds: float) -> dict[str, Any]:
        return {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "bias": bias.data,
            "optimizer": optimizer.state_dict(),
            "step": step,
            "used": seconds,
        }

    def save(seconds: float) -> None:
        torch.save(state_now(seconds), arguments.work / "checkpoint.tmp")
        (arguments.work / "checkpoint.tmp").replace(checkpoint)

    while (elapsed := time.monotonic() - started) < budget:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(elapsed / budget, arguments.rate)
        batch: list[NDArray[np.uint8]] = []
        classes, words = [], []
        for index in rng.integers(0, len(training), arguments.rooms_per_batch):
            more, names, own = examples.draw(training[index], arguments.crops_per_room, rng)
            batch += more
            classes += names
            words += own
        model.train()
        captions = draw_batch_captions(words, rng)
        loss = training_loss(model, bias, normalise(batch), classes, words, captions)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        model.logit_scale.data.clamp_(0, math.log(100))
        step += 1
        keep = min(0.998, 1 - 10 / (10 + step))
        with torch.no_grad():
            for old, new in zip(
                average.state_dict().values(), model.state_dict().values(), strict=True
            ):
                if old.is_floating_point():
                    old.lerp_(new, 1 - keep)
                else:
                    old.copy_(new)
        if step % 20 == 0:
            print(f"{step} {elapsed / 60:.1f} min loss {float(loss):.3f}", flush=True)
        if time.monotonic() - logged > 240:
            logged = time.monotonic()
            row: dict[str, Any] = {"step": step, "minutes": round(elapsed / 60, 1)}
            row |= {
                "scale": round(float(model.logit_scale.exp()), 2),
                "bias": round(float(bias), 2),
            }
            row |= {k: round(v, 4) for k, v in validate(average, fixed, fixed_classes).items()}
            log.write(json.dumps(row) + "\n")
            log.flush()
            print(row, flush=True)
        if time.monotonic() - saved > 120:
            saved = time.monotonic()
            save(time.monotonic() - started)
    save(budget)
    print(validate(average, fixed, fixed_classes), flush=True)


if __name__ == "__main__":
    main()
