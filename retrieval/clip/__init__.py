"""Images and words as CLIP embeddings; only `encoder` and `loading` need torch to be imported."""

VERSION = 3
"""Raise it when the same image, masks, settings and weights give other embeddings.

It is a part of the names of the side cache's cells: those of other versions are not used.
"""
