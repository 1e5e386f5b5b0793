"""One module per claim; `python -m benchmarks` measures them all."""
