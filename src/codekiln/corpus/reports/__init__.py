"""What a build did, as a value, tables and a page."""
