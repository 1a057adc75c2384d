"""Files, digests, downloads, and the machine."""
