"""What stands in the corpus twice (DeepSeek-Coder §2.3)."""
