"""What headstart is measured against; run with `make bench`."""
