"""Collections: rows of files from many repositories, grouped to one repository at a time."""
