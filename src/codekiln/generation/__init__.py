"""From token ids to text: sampling, the cache, stop strings, the engine, the prompt builder."""
