"""Panels draw the letters of names, and say which they cannot draw."""

import numpy as np
import pytest
from PIL import Image

from maskquery.evaluation import lettering, panels


@pytest.mark.parametrize("text", ["Stühle", "café", "Ελλάδα", "собака", "łóżko", "a chair … →"])
def test_letters_of_names_are_drawn(text: str) -> None:
    assert lettering.drawable(text) == text
    pictures = {lettering._picture(each) for each in set(text) - {" "}}
    assert len(pictures) == len(set(text) - {" "})  # each is another, none the box for "missing"


@pytest.mark.parametrize(("text", "escaped"), [("犬", r"\u72ac"), ("a 🦒", r"a \U0001f992")])
def test_what_the_font_lacks_is_an_escape(text: str, escaped: str) -> None:
    assert lettering.drawable(text) == escaped


def title_of(title: str) -> np.ndarray:
    image, mask = np.zeros((30, 304, 3), np.uint8), np.zeros((30, 38), np.uint8)
    sheet: Image.Image = panels.panel_of(image, mask, None, "a chair", title)
    return np.asarray(sheet)[:22]


def test_titles_differ_where_names_do() -> None:
    titles = [title_of(name) for name in ("Stuhl", "Stühl", "犬", "猫", "é")]
    for number, one in enumerate(titles):
        assert all(not np.array_equal(one, other) for other in titles[:number])
    np.testing.assert_array_equal(title_of("犬"), title_of(r"\u72ac"))
