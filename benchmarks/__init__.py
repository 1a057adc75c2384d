"""Benchmarks of headstart against other tools; run them with `make bench` and its variants."""
