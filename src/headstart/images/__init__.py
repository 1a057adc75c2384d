"""Pixels: decoding, resizing, augmentation, corruption."""
