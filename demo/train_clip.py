"""Train the tiny CLIP on crops of rendered rooms.

    python -m demo.train_clip --rooms DIR --work DIR --minutes 60 [--masks masks.zarr]

The crops are made by the pipeline's own code (`maskquery.clip.crops`), of ground-truth objects,
of parts and merged objects, and, with `--masks`, of the tiny SAM's own masks of the same rooms.

Captions name a class by templates and synonyms, some with one of the object's own words (colour,
material, design); a caption is right for a crop when its class and its words are. The loss asks
each crop and caption on its own whether they belong together (SigLIP, Zhai et al. 2023,
arXiv:2303.15343), which makes a fixed cosine threshold meaningful, plus a softmax over classes.
"""

import math
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from demo.captions import CLASS_NAMES, Caption, draw_caption
from demo.training import VALIDATION_ROOMS, Training, arguments
from demo.training_crops import Batch, Examples, words_of
from demo.training_data import find_rooms, read_room
from maskquery.clip.crops import MEAN, STD
from maskquery.clip.openai import CLIP, tokenize
from maskquery.clip.tiny import build_tiny_clip

WORD_STEPS = 600
WORD_ROOMS = 300  # whose objects' words are learnt
WORD_LENGTH = 0.7  # of a word's direction beside a class's, in the captions' geometry


class Bias(nn.Module):
    """SigLIP's bias, a pair's logit at cosine 0; the pipeline's threshold takes its place."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(-6.0))


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
        learn_words(model, words, WORD_STEPS, np.random.default_rng(3))
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
