import unicodedata

import pytest

from maskquery.core.errors import UserError
from maskquery.images.names import Matcher, expect_length, shorten

KNOWN = ["a/B c", "caf\u00e9", "x/y/z", "deep/n.1", "100%", "one/same", "two/same"]


@pytest.mark.parametrize(
    ("name", "known", "differs"),
    [
        ("a\\B c", "a/B c", "backslashes"),
        ("A/b C", "a/B c", "case"),
        ("a/B%20c", "a/B c", "percent-encoding"),
        ("cafe\u0301", "caf\u00e9", "Unicode normalisation"),
        ("CAFE\u0301", "caf\u00e9", "Unicode normalisation and case"),
        ("z", "x/y/z", "folders before it"),
        ("/mnt/images/x/y/z", "x/y/z", "folders before it"),
        ("C:\\images\\x\\y\\z", "x/y/z", "backslashes and folders before it"),
        ("https://host/x/y/z?w=1#top", "x/y/z", "a URL"),
        ("http://images.cocodataset.org/val/x/y/z", "x/y/z", "folders before it"),
        ("/data/local-files/?d=set/a%2FB c", "a/B c", "percent-encoding and folders"),
        ("n.1", "deep/n.1", "folders before it"),
    ],
)
def test_a_name_in_another_spelling(name: str, known: str, differs: str) -> None:
    variant = Matcher(KNOWN).variant(name)
    assert variant is not None
    assert variant.name == known
    assert str(variant).startswith(f"{known!r}, which differs in {differs}")


@pytest.mark.parametrize("name", ["", "nothing", "n.2", "same", "x/z", "y/z/x", "z/"])
def test_other_names_and_names_of_several_are_none(name: str) -> None:
    variant = Matcher(KNOWN).variant(name)
    assert variant is None or name == "z/"


def test_suffixes_differ_only_where_names_have_them() -> None:
    files = Matcher(["a.npz", "B.npy", "d/c.PNG"])
    assert files.variant("a.npy") is None
    for name, meant in (("a.npy", "a.npz"), ("b.npy", "B.npy"), ("c.npy", "d/c.PNG")):
        variant = files.variant(name, any_suffix=True)
        assert variant is not None
        assert variant.name == meant
    assert str(files.variant("a.npy", any_suffix=True)) == "'a.npz', which differs in suffix"


def test_forms_of_one_letter() -> None:
    composed = "\u00fc\u90e8\u5c4b"
    variant = Matcher([composed]).variant(unicodedata.normalize("NFD", composed))
    assert variant is not None
    assert variant.differs == ("Unicode normalisation",)


def test_a_name_is_as_long_as_a_path_may_be() -> None:
    expect_length("n" * 4096, "a.tar/n")
    with pytest.raises(UserError, match=r"^a\.tar/n has a name of 70000 bytes"):
        expect_length("n" * 70_000, "a.tar/n")
    assert shorten("short") == "short"
    assert shorten("n" * 70_000) == "n" * 100 + "..." + "n" * 100
