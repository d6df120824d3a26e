"""Which files are worth training on (DeepSeek-Coder §2.1)."""
