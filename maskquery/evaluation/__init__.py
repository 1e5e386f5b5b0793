"""Predictions against the ground truth: counts, curves, calibration, oracles, reports, panels.

It imports `selection`, `tables`, `images`, `masks` and `core`. It loads no model, pandas or zarr.
"""
