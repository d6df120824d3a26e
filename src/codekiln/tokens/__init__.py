"""Documents to token shards, and shards to batches. Only `batch.py` and `loader.py` need torch."""
