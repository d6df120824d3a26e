"""Which files are badly made: syntax, readable signals, a trained model (DeepSeek-Coder §2.4)."""
