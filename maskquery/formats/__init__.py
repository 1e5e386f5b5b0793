"""Masks out to, and ground truth in from, the formats of other tools; no stage uses this package.

It is no part of the pipeline: nothing that is written here is read by a stage, so none of it stands
in dvc.yaml. It stands beside `stages` and above the rooms.
"""
