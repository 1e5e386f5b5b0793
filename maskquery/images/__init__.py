"""Find, read and decode images: folders, archives, buckets, RGB conversion, CLAHE.

It imports only `core`, and knows nothing of masks or models. It loads no torch.
"""
