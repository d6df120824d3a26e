"""Which file needs which, and in what order they are read (DeepSeek-Coder §2.2)."""
