"""Resizing in PyTorch, against Pillow's."""

import numpy as np
import pytest
import torch

from headstart.exporting.torch_resizing import center_crop
from headstart.images.preprocessing import prepare
from headstart.images.reduction import reduction_factor
from tests.exporting.test_resizing import HOWS, SIZES, how, photo


@pytest.mark.parametrize("preprocessing", [*HOWS, how(36, 32, "nearest")], ids=str)
def test_pixels_are_those_that_pillow_makes(preprocessing):
    values = []
    for size in SIZES:
        image = photo(*size)
        found = center_crop(torch.from_numpy(np.array(image)), preprocessing)
        assert found.dtype == torch.uint8
        values.append(found[0].numpy().astype(int) - prepare(image, preprocessing))
    differences = np.abs(np.stack(values))
    if preprocessing.interpolation == "nearest":  # halves between two pixels
        assert (differences > 0).mean() < 0.05
        return
    # Pillow may resize the height of tall images first, and halves may go the other way.
    assert differences.max() <= 6
    assert (differences > 1).mean() < 0.01
    assert differences.mean() < 0.05


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_large_images_are_averaged_first_as_their_files_are_decoded(factor):
    preprocessing = how(36, 32, "bicubic")
    width, height = 75 * factor + 1, 73 * factor + 3
    image = photo(width, height)
    assert reduction_factor(image.size, preprocessing.min_decode_size(width, height)) == factor
    found = center_crop(torch.from_numpy(np.array(image)), preprocessing)
    expected = prepare(image.reduce(factor), preprocessing)
    assert np.abs(found[0].numpy().astype(int) - expected).max() <= 2
