"""Benchmarks: held-out sets with their scorers. One file each."""
