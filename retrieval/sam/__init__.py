"""Masks of everything in an image by SAM; `settings` alone can be imported without torch."""

VERSION = 3
"""Raise it when the same image, settings and weights give other masks, if only by a bit.

It is a part of the names of the side cache's cells: those of other versions are not used.
"""
