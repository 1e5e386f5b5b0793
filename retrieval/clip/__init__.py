"""Images and words as CLIP embeddings; `crops`, `settings` and `texts` do without torch."""

VERSION = 3
"""Raise it when the same image, masks, settings and weights give other embeddings.

It is a part of the names of the side cache's cells: those of other versions are not used.
"""
