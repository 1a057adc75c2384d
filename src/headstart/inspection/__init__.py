"""Look inside a network: attacks, attribution, synthesis, feature maps, robustness."""
