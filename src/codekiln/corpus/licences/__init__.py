"""Under which licence a repository and each of its files stand."""
