"""What repeats test data (DeepSeek-Coder §2.4)."""
