"""Recorded measurements: each module makes one table of `results/`, and `python -m benchmarks` makes them all."""
