"""Self-contained pages: one run, what went in, how training went, what came out; or several."""
