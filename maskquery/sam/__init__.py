"""Masks of everything in an image by SAM: automatic mask generation.

It imports `jobs`, `images`, `masks`, `models` and `core`, never `clip`. Torch is imported by
the modules that compute alone: settings and jobs are known without it.
"""

VERSION = 3
"""Raise it when the same image, settings and weights give other masks, if only by a bit.

It is a part of the names of the cells of finished work: those of other versions are not used.
"""
