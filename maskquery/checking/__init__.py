"""The command `maskquery check`: what does not fit, told before a run.

It may import all rooms of the library below it. It computes nothing, loads no model, and writes
nothing but a mended dvc.lock.
"""
