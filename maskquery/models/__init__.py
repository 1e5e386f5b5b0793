"""Checkpoints and devices: the known models, their download, and where they run.

It imports only `core`. Torch is imported inside functions, so that naming a model does not load it.
"""
