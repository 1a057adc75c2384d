"""Decoding, resizing, augmentation and corruption of images."""
