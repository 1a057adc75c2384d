"""Compare backbones on the same images: accuracy, cost, and which one to use."""
