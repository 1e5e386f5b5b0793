"""Train the tiny CLIP on crops of rendered rooms.

    python -m demo.train_clip --rooms DIR --work DIR --minutes 60 [--masks masks.zarr]

The crops are made by the pipeline's own code (`maskquery.clip.crops`), of ground-truth objects,
of parts and merged objects, and, with `--masks`, of the tiny SAM's own masks of the same rooms.
They are cut once, into `--bank`, and changed anew whenever they are learnt from (`augment`).

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
from torch import Tensor, nn

from demo import crop_bank
from demo.augment import augmented, normalised
from demo.captions import CLASS_NAMES, Caption, draw_caption
from demo.rooms.files import is_varied
from demo.training import Training, arguments
from demo.training_crops import Crops, words_of
from demo.training_data import HELD_OUT, find_rooms, read_room
from maskquery.clip.openai import CLIP, tokenize
from maskquery.clip.tiny import build_tiny_clip

WORD_STEPS = 600
WORD_ROOMS = 300  # whose objects' words are learnt
BALANCE = 0.6  # crops are drawn as their class's number to the power of minus this, 1: all alike
SMOOTHING = 0.05  # of the classes in the softmax: masks are labelled by most of their pixels
REPORTED = ("chair", "lamp", "rug", "background")
WORD_LENGTH = 0.7  # of a word's direction beside a class's, in the captions' geometry


class Bias(nn.Module):
    """SigLIP's bias, a pair's logit at cosine 0; the pipeline's threshold takes its place."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(-6.0))


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


class Captions:
    """Embeddings of captions by the text encoder, which is held: each is computed once."""

    def __init__(self, model: CLIP) -> None:
        self._model, self._known = model, dict[str, Tensor]()

    @torch.no_grad()
    def __call__(self, captions: list[Caption]) -> Tensor:
        """Unit embeddings (T, D)."""
        missing = [c for c in {c.text: c for c in captions}.values() if c.text not in self._known]
        if missing:
            found = encode_captions(self._model, missing)
            self._known |= {c.text: row for c, row in zip(missing, found, strict=True)}
        return torch.stack([self._known[c.text] for c in captions])


def embed(model: CLIP, pixels: Tensor) -> Tensor:
    """Unit embeddings (B, D) float32 of images (B, 3, S, S), computed in bfloat16.

    The channels stand last in memory: more than twice as fast on the CPU.
    """
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.encode_image(pixels)
    return F.normalize(found.float(), dim=-1)


def truth_of(target: Tensor, words: list[list[str]], captions: list[Caption]) -> Tensor:
    """(B, T) float32: 1 where a caption is true of a crop of class `target` (B,) and `words`."""
    theirs = torch.tensor([CLASS_NAMES.index(c.class_name) for c in captions])
    truth = target[:, None] == theirs
    for column, caption in enumerate(captions):
        if caption.words:
            held = [set(caption.words) <= set(w) for w in words]
            truth[:, column] &= torch.tensor(held)
    return truth.float()


def training_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Bias, truth: Tensor, target: Tensor
) -> Tensor:
    """Sigmoid loss over all pairs, positives weighing as much as negatives, plus class softmax.

    Args:
        images: (B, D) unit embeddings of crops.
        texts: (T, D) unit embeddings of captions, of which two plain ones of each class come first.
        scale: what a cosine is multiplied by for a logit.
        bias: what is added to it.
        truth: (B, T) 1 where a caption is true of a crop.
        target: (B,) the crops' classes.
    """
    logits = images @ texts.T * scale + bias.value
    pairs = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    sigmoid = (pairs * truth).sum() / truth.sum().clamp(min=1)
    sigmoid = sigmoid + (pairs * (1 - truth)).sum() / (1 - truth).sum() * 3
    plain = 2 * len(CLASS_NAMES)
    by_class = logits[:, :plain].reshape(len(images), len(CLASS_NAMES), 2).mean(2)
    return sigmoid + F.cross_entropy(by_class, target, label_smoothing=SMOOTHING)


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
def validate(model: CLIP, held_out: dict[str, Crops]) -> dict[str, float]:
    """Accuracy over classes, also as the mean over them, of each set, with the prompt "a CLASS"."""
    model.eval()
    texts = encode_captions(model, [Caption(f"a {name}", name, ()) for name in CLASS_NAMES])
    figures: dict[str, float] = {}
    for name, crops in held_out.items():
        parts = torch.from_numpy(crops.crops).split(256)
        images = torch.cat([F.normalize(model.encode_image(normalised(p)), dim=-1) for p in parts])
        right = ((images @ texts.T).argmax(1) == torch.from_numpy(crops.classes)).numpy()
        own = {k: right[crops.classes == i] for i, k in enumerate(CLASS_NAMES)}
        recalls = {k: float(v.mean()) for k, v in own.items() if len(v)}
        figures[f"{name}_accuracy"] = float(right.mean())
        figures[f"{name}_mean_recall"] = float(np.mean(list(recalls.values())))
        figures |= {f"{name}_{k}": recalls[k] for k in REPORTED if k in recalls}
    return figures


def settle(bias: Bias, cosine: Tensor, scale: float, truth: Tensor) -> None:
    """Set the bias to what fits a batch's pairs best: a model that goes on has lost its own."""
    tried = torch.arange(-20.0, 5.0, 0.5)
    losses = []
    for value in tried:
        pairs = F.binary_cross_entropy_with_logits(cosine * scale + value, truth, reduction="none")
        wrong = (pairs * (1 - truth)).sum() / (1 - truth).sum() * 3
        losses.append((pairs * truth).sum() / truth.sum() + wrong)
    bias.value.data.fill_(float(tried[int(torch.stack(losses).argmin())]))


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], minutes=60, batch=192)
    parser.add_argument("--masks", type=Path, help="masks.zarr of (some of) the training rooms")
    parser.add_argument("--bank", type=Path, help="where crops are kept; else in --work")
    parser.add_argument("--crops", type=int, default=30, help="of made-up masks, per room")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    rooms, bank = find_rooms(options.rooms), options.bank or options.work / "bank"
    crop_bank.fill(bank, rooms, options.masks, options.crops, options.threads)
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
    if not training.step and not options.start:
        some = [read_room(path).objects.values() for path in rooms[:WORD_ROOMS]]
        words = sorted({word for objects in some for entry in objects for word in words_of(entry)})
        learn_words(model, words, WORD_STEPS, np.random.default_rng(3))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("visual") or name == "logit_scale")
    learn(training, model, bias, bank, rooms, options.batch)


def learn(
    training: Training, model: CLIP, bias: Bias, bank: Path, rooms: list[Path], batch: int
) -> None:
    """Train on the crops of the bank until the training's time is used up."""
    known = crop_bank.read(bank, [path for path in rooms if int(path.stem) % HELD_OUT])
    aside = [path for path in rooms if not int(path.stem) % HELD_OUT]
    held_out = {
        "plain": crop_bank.read(bank, [path for path in aside if not is_varied(int(path.stem))]),
        "varied": crop_bank.read(bank, [path for path in aside if is_varied(int(path.stem))]),
    }
    held_out = {name: crops for name, crops in held_out.items() if len(crops.classes)}
    counts = np.bincount(known.classes, minlength=len(CLASS_NAMES)).clip(1)
    print(dict(zip(CLASS_NAMES, counts.tolist(), strict=True)), flush=True)
    weights = (counts**-BALANCE)[known.classes]
    cumulated = np.cumsum(weights / weights.sum())
    captions_of = Captions(model)
    rng = np.random.default_rng([2, training.step])
    generator = torch.Generator().manual_seed(training.step)
    for step in training.steps(lambda: validate(training.average, held_out)):
        picked = np.searchsorted(cumulated, rng.random(batch)).clip(max=len(known.classes) - 1)
        words = [known.words[i] for i in picked]
        captions = draw_batch_captions(words, rng)
        target = torch.from_numpy(known.classes[picked]).long()
        texts, truth = captions_of(captions), truth_of(target, words, captions)
        pixels = normalised(torch.from_numpy(known.crops[picked]))
        images = embed(model, augmented(pixels, generator))
        if not step:
            settle(bias, images.detach() @ texts.T, float(model.logit_scale.detach().exp()), truth)
        scale = model.logit_scale.exp()
        training.learn(training_loss(images, texts, scale, bias, truth, target))
        model.logit_scale.data.clamp_(math.log(10), math.log(100))


if __name__ == "__main__":
    main()
