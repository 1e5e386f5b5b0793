"""Work on many images: finished work in a cache, and computing what is missing, here or on Ray.

It imports `images`, `masks`, `models` and `core`. It knows what a job is (a key, what to load, what
to compute) and nothing of what SAM or CLIP do. Ray is imported inside functions.
"""
