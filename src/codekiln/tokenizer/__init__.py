"""Byte-level BPE: training, loading, special tokens, the chat template."""
