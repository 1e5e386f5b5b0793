"""Find objects in images by text: masks from SAM, similarities from CLIP, and how good they are.

The library is cut into rooms. A room is a unit of re-computation: dvc.yaml lists, for each stage,
the rooms that its results depend on. Imports go downward only:

    finding, explore, review, formats, presets     what people use
    evaluation, scoring                            numbers to numbers
    sam, clip, selection                           pixels to masks to vectors; which masks count
    jobs, tables                                   many images; Parquet
    images, masks, models                          where bytes lie
    core

`from maskquery import find` is what other programs use; the command `maskquery` is `cli`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskquery.finding import find as find

__version__ = "0.1.0"
"""The only place of the version: pyproject.toml takes it from here."""


def __getattr__(name: str) -> Any:
    """`find`, imported when it is first asked for: a stage that needs little loads little."""
    if name == "find":
        from maskquery.finding import find

        return find
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
