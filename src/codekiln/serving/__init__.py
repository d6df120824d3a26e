"""A model behind HTTP, in OpenAI's completions protocol."""
