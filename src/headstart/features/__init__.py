"""Run the frozen network once over images, and keep what it computes."""
