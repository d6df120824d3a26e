"""The self-contained page about one run: what went in, how training went, what came out."""
