"""Automatic mask generation with SAM.

It imports `jobs`, `images`, `masks`, `models` and `core`, never `clip`. Only the modules that
compute import torch; settings and jobs do without it.
"""

VERSION = 3
"""Raise it when the same image, settings and weights give other masks, even by one bit.

It is a part of the keys of cells, so cells of other versions are not used.
"""
