"""Auditing labeled images: wrong labels, copies, outliers, unusable images, shortcuts."""
