"""Captions for training the tiny CLIP, and which of them are true of which object."""

from dataclasses import dataclass

import numpy as np

TEMPLATES = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "a picture of a {}",
    "a photo of the {}",
    "a {} in a room",
    "a rendering of a {}",
    "this is a {}",
    "one {}",
)
SYNONYMS: dict[str, tuple[str, ...]] = {
    "wall": ("wall", "wall", "part of a wall", "wallpaper", "painted wall"),
    "floor": ("floor", "floor", "part of the floor", "ground", "flooring"),
    "ceiling": ("ceiling", "ceiling", "part of the ceiling"),
    "window": ("window", "window", "window pane"),
    "door": ("door", "door", "doorway"),
    "chair": ("chair", "chair", "chair", "seat", "part of a chair"),
    "table": ("table", "table", "desk", "dining table"),
    "sofa": ("sofa", "sofa", "couch"),
    "bed": ("bed", "bed", "mattress"),
    "shelf": ("shelf", "shelf", "bookshelf", "cabinet"),
    "lamp": ("lamp", "lamp", "light"),
    "plant": ("plant", "plant", "potted plant"),
    "picture": ("picture", "painting", "picture frame"),
    "rug": ("rug", "rug", "carpet"),
    "television": ("television", "tv", "television screen"),
    "box": ("box", "box", "cardboard box"),
    "background": ("background", "things", "clutter", "nothing in particular", "texture"),
}
CLASS_NAMES = tuple(SYNONYMS)


@dataclass(frozen=True)
class Caption:
    """A text, and the class and words that an object needs for the text to be true of it."""

    text: str
    class_name: str
    words: tuple[str, ...]


def draw_caption(class_name: str, words: list[str], rng: np.random.Generator) -> Caption:
    """A caption of a class, with one of the words (a colour, a material) where any are given."""
    noun = str(rng.choice(SYNONYMS[class_name]))
    template = str(rng.choice(TEMPLATES))
    if noun.startswith(("part of", "nothing", "things", "clutter")):
        return Caption(noun, class_name, ())
    if words:
        word = str(rng.choice(words))
        return Caption(_article(template.format(f"{word} {noun}")), class_name, (word,))
    return Caption(_article(template.format(noun)), class_name, ())


def _article(text: str) -> str:
    for vowel in "aeiou":
        text = text.replace(f" a {vowel}", f" an {vowel}")
        if text.startswith(f"a {vowel}"):
            text = "an" + text[1:]
    return text
