"""Masks as packed bits, and the stores that hold them: masks.zarr and predictions.zarr.

It imports `core` alone. Zarr itself is not imported: its format is written and read directly.
"""
