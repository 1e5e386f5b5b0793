"""A person's answers to "does this mask show a chair?", and which mask is asked about next.

It imports `masks` and `core`. It loads no model, and it reads no ground truth.
"""
