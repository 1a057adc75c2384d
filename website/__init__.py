"""The website: the pages of the repository, with references that are written from the code."""
