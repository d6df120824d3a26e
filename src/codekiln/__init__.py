"""codekiln turns repositories into code models: the DeepSeek-Coder system in one package."""

__version__ = "0.1.0"
