"""The methods by name; known without PyTorch, for the command line."""

from __future__ import annotations

from enum import StrEnum


class AttributionMethod(StrEnum):
    """How the relevance of pixels is found."""

    GRAD_CAM = "grad-cam"
    """Coarse and fast: one gradient, on the grid of a deep stage."""
    INTEGRATED_GRADIENTS = "integrated-gradients"
    """Fine: gradients on the way from a baseline to the picture."""
    OCCLUSION = "occlusion"
    """By trial: what the class loses where a window is covered."""
