"""How unlike the training images an image is, calibrated on images that were held out."""
