"""Repositories to training documents: read, filter, order, deduplicate, write."""
