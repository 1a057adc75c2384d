"""The page about what a command wrote: its files are read back, and shown."""
