"""How well transfer works on a data set."""
