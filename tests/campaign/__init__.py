"""Tries to break headstart: kills, full disks, damaged and hostile input, in large numbers.

`make campaign` runs all of it and writes docs/reliability.md; `make test` runs a few tries of each.
"""
