"""Feature visualization: synthesize the image that a network prefers, by gradient ascent.

An image is made of parameters (`parameterization`), transformed at random (`transforms`), scored by
an `objective` and improved step by step (`ascent`). All of these take callables on pixels in
[0, 1] and depend on neither files nor class names.
"""
