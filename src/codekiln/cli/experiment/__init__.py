"""`codekiln experiment`: variants of a recipe, each with several seeds, as one table."""
