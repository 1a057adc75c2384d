"""The functions of the package, which take what a user has; HTML and figures of results."""
