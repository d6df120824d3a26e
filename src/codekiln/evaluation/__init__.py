"""Measures models: benchmarks, scores, verdicts."""
