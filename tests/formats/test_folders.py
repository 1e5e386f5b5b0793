from pathlib import Path

import pytest

from maskquery.core.errors import UserError
from maskquery.formats import folders


def make(folder: Path, name: str) -> None:
    with folders.replacing(folder, {"name": name}) as temporary:
        (temporary / name).touch()


def test_a_folder_that_was_made_so_is_replaced(tmp_path: Path) -> None:
    make(tmp_path / "out", "one")
    folders.expect_replaceable(tmp_path / "out", tmp_path / "images")
    make(tmp_path / "out", "two")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"two", folders.MARK}


def test_nothing_and_an_empty_folder_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        folders.expect_replaceable(tmp_path / name, tmp_path / "images")


def test_what_somebody_else_put_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other files, which would be lost"):
        folders.expect_replaceable(tmp_path, tmp_path / "images")
    with pytest.raises(UserError, match="is a file"):
        folders.expect_replaceable(tmp_path / "thesis.tex", tmp_path / "images")


def test_a_folder_among_the_images_is_refused(tmp_path: Path) -> None:
    for inside in (tmp_path, tmp_path / "out", tmp_path / "x" / ".." / "out"):
        with pytest.raises(UserError, match="would be taken for images next time"):
            folders.expect_replaceable(inside, tmp_path)


def test_what_was_made_is_not_replaced_by_something_made_of_it(tmp_path: Path) -> None:
    make(tmp_path / "out", "one.jpg")
    for images in (tmp_path / "out/one.jpg", tmp_path / "out/deep/er"):
        with pytest.raises(UserError, match="would be lost with what is in"):
            folders.expect_replaceable(tmp_path / "out", images)
