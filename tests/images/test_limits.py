"""What an image takes in memory is bounded by what is stated, not by its file."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images import limits
from headstart.images.decode import decode, open_image
from headstart.images.limits import at_most, check_size, one_large_image, shown_size
from headstart.images.reduction import reduced
from tests.images.test_decode import encoded, halves


def test_kinds_that_take_too_much_are_refused_with_the_reason():
    check_size(14_000, 14_000)
    with pytest.raises(UnreadableImageError, match=r"14000 x 14000 .* take 2.4 GB .*limit 1.4 GB"):
        check_size(14_000, 14_000, pixel_bytes=12)
    with pytest.raises(UnreadableImageError, match="limit 220 million"):
        check_size(15_000, 15_000, pixel_bytes=1)


def test_a_thread_may_accept_less():
    with at_most(1_000_000) as limit:
        check_size(1_000, 1_000)
        assert not limit.exceeded
        with pytest.raises(UnreadableImageError, match=r"1000 x 1001 pixels \(limit 1 million\)"):
            check_size(1_000, 1_001)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(check_size, 1_000, 1_001).result()
    assert limit.exceeded
    with at_most(10**12), pytest.raises(UnreadableImageError, match="limit 220 million"):
        check_size(15_000, 15_000, pixel_bytes=1)
    check_size(1_000, 1_001)


def test_the_file_counts():
    with one_large_image():
        limits.state_file(1_000_000_000)
        with pytest.raises(UnreadableImageError, match=r"take 1\.8 GB"):
            check_size(14_000, 14_000)
    check_size(14_000, 14_000)


def test_all_threads_together_take_no_more_than_one_image_may():
    taken: list[int] = []
    most: list[int] = []

    @one_large_image()
    def read(side):
        for memory in (2 * side * side, 4 * side * side):  # the second is known later
            check_size(side, side, pixel_bytes=memory / (side * side))
        taken.append(memory)
        most.append(sum(taken))
        time.sleep(0.002)
        taken.remove(memory)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, [8000, 12_000, 9000] * 12))
    assert 2 * 4 * 8000**2 < max(most) <= limits.MAX_MEMORY
    with one_large_image():
        check_size(14_000, 14_000, pixel_bytes=7)
        for side, waits in ((4000, False), (4001, True)):
            other = threading.Thread(target=read, args=(side,))
            other.start()
            other.join(0.05 if waits else 5)
            assert other.is_alive() == waits
    other.join(5)
    assert not other.is_alive()


def test_a_large_file_is_read_alone():
    with one_large_image():
        limits.state_file(300_000_000)
        other = threading.Thread(target=one_large_image()(check_size), args=(5000, 5000))
        other.start()
        other.join(0.05)
        assert other.is_alive()
    other.join(5)
    assert not other.is_alive()


def test_memory_is_returned_after_really_large_images_only(monkeypatch):
    returned = []
    monkeypatch.setattr(limits, "return_memory", lambda: returned.append(1))
    for side, times in ((7000, 0), (7200, 1)):
        with one_large_image():
            check_size(side, side)
        assert len(returned) == times


def test_one_thread_may_read_a_large_image_within_another():
    with one_large_image():
        check_size(8000, 8000)
        with one_large_image():
            check_size(8000, 8000)


def test_no_memory_is_a_reason(monkeypatch):
    def load(*_):
        raise MemoryError

    monkeypatch.setattr("headstart.images.decode.load", load)
    with pytest.raises(UnreadableImageError, match="too large: out of memory"):
        decode(encoded(halves(), "PNG"))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK"])
def test_reduction_is_a_mean_of_pixels_and_keeps_the_orientation(mode, monkeypatch):
    monkeypatch.setattr("headstart.images.reduction._STRIP_PIXELS", 4000)
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (90, 121, 3), np.uint8)).convert(mode)
    image.getexif()[0x0112] = 6
    small = reduced(image, (30, 20))
    plain = image.convert("RGB") if mode in ("P", "1") else image
    assert small.mode == plain.mode
    np.testing.assert_array_equal(small, plain.reduce(4))
    assert small.getexif()[0x0112] == 6
    assert reduced(image, (100, 80)) is image


def test_large_images_are_reduced_where_that_is_enough(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "LARGE_PIXELS", 3000)
    image = halves(size=(80, 40))
    image.save(tmp_path / "large.png")
    assert decode(tmp_path / "large.png").size == (80, 40)
    assert decode(tmp_path / "large.png", min_size=lambda *_: (20, 10)).size == (20, 10)
    monkeypatch.setattr(limits, "_SHOWN", 40)
    assert shown_size(80, 40) == (40, 20)
    assert open_image(tmp_path / "large.png").size == (40, 20)
    assert shown_size(50, 40) == (50, 40)
