"""Parquet: embeddings.parquet and scores.parquet, written and read with bounded memory.

It imports `masks` and `core`. Pandas is not imported here, nor any model.
"""
