"""Serving models: over HTTP, and for folders in which images arrive."""
