"""Training: settings, schedule, optimiser, checkpoints, the loop, held-out bits per byte."""
