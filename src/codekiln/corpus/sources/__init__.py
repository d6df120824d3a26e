"""Where repositories come from: folders, git, archives, rows of files."""
