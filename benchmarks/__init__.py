"""Timings against peers, as ratios in one run. `make bench` runs all, by name: python -m benchmarks NAME."""
