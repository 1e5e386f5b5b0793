"""Weights and devices: which checkpoints exist, how they get here, where models run.

It imports `core` alone. Torch is imported inside functions, so that naming a model loads none.
"""
