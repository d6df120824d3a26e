"""Runs programs that nobody has read: in a box, under limits, with a verdict."""
