"""Which masks count: thresholds, rules that leave masks out, and their union for each class.

It imports `tables`, `masks` and `core`. It loads no model: an edit here reruns neither SAM nor
CLIP.
"""
