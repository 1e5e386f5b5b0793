"""CLIP embeddings of masks and texts: crops, image and text encoders.

It imports `jobs`, `tables`, `images`, `masks`, `models` and `core`, never `sam`. Only the modules
that compute import torch; settings and jobs do without it.
"""

VERSION = 3
"""Raise it when the same image, masks, settings and weights give other embeddings.

It is a part of the keys of cells, so cells of other versions are not used.
"""
