"""GGUF, the format of llama.cpp: dense models out and in, their tokenizers included."""
