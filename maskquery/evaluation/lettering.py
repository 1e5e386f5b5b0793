"""The panels' font, which is shipped, and text in it: what it lacks becomes an escape.

DejaVu Sans has the letters of Latin, Greek, Cyrillic, Armenian, Arabic and others, and no Chinese,
Japanese or Korean ones: a font with these would be larger than the rest of the package.
"""

from functools import cache
from pathlib import Path

from PIL import ImageFont

SIZE = 15  # pixels

_FILE = Path(__file__).with_name("fonts") / "DejaVuSans.ttf"
_NO_CHARACTER = "\U0010ffff"  # drawn as every character that the font lacks is


@cache
def font() -> ImageFont.FreeTypeFont:
    """The font of all text on panels."""
    # One letter after the other, wherever Pillow has Raqm and wherever it has not.
    return ImageFont.truetype(_FILE, SIZE, layout_engine=ImageFont.Layout.BASIC)


def drawable(text: str) -> str:
    r"""A text of one line whose every character the font has; others as Python writes them.

    >>> drawable("Stühle, café")
    'Stühle, café'
    >>> print(drawable("犬\\nred"))
    \u72ac\nred
    """
    return "".join(
        each if each.isprintable() and _has(each) else ascii(each)[1:-1] for each in text
    )


@cache
def _has(character: str) -> bool:
    return character.isascii() or _picture(character) != _picture(_NO_CHARACTER)


def _picture(character: str) -> tuple[tuple[int, int], bytes]:
    mask = font().getmask(character)
    return mask.size, bytes(mask)
