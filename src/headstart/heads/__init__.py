"""Classifiers on frozen features: training, stage selection and calibration."""
