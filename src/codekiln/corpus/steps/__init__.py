"""The steps of a build: read, decide, compose, finish; each a function over one piece."""
