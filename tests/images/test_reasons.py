import pytest
from PIL import Image

from headstart.images.reasons import reason_of


def test_the_limit_of_pillow_is_said_in_the_same_words():
    with pytest.raises(Image.DecompressionBombError) as caught:
        Image._decompression_bomb_check((20_000, 10_000))
    assert reason_of(caught.value, "TIFF") == (
        "too large: 200 million pixels (limit 179 million for TIFF)"
    )
