"""Where pictures are and what is in them: folders, archives, buckets, decoding, CLAHE.

It imports `core` alone. It knows nothing of masks or models, and loads no torch.
"""
