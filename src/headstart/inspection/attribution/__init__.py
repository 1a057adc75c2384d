"""What a prediction looked at: maps of relevance over the pixels, and whether they can be trusted.

Every method takes callables on pixels in [0, 1] and gives signed maps: above zero speaks for the
class, below zero against it. They know nothing of files or of class names.
"""
