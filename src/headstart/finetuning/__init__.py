"""Training part of a network further than its head: settings, a loop, and what both are made of."""
