"""Images and words as CLIP embeddings: crops, encoders, texts.

It imports `jobs`, `tables`, `images`, `masks`, `models` and `core`, never `sam`.
Torch is imported by the modules that compute alone: settings and jobs are known without it.
"""

VERSION = 3
"""Raise it when the same image, masks, settings and weights give other embeddings.

It is a part of the names of the cells of finished work: those of other versions are not used.
"""
