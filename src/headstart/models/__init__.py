"""Train, evaluate, save, load and apply a classifier."""
