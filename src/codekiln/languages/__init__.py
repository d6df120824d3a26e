"""Languages: the table of all of them, and one file for each that has an import resolver."""
