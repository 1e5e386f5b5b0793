"""What every room needs: errors, the console, params.yaml, whole files, locks, threads.

It imports no other room, and no model, pandas or zarr.
"""
