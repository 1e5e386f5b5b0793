"""Run a job on many images, in this process or on Ray, with a cache of finished work.

It imports `images`, `masks`, `models` and `core`. It knows what a job is (keys, load, compute), and
nothing of SAM or CLIP. Ray is imported inside functions.
"""
