"""Benchmarks: the product beside its peers and ceilings in one run: `python -m benchmarks`."""
