import threading

import pytest

from headstart.system import prefetch as module
from headstart.system.prefetch import prefetch


def most_ahead(monkeypatch, size) -> int:
    """How many results wait at most while the first half of 60 items is consumed slowly."""
    monkeypatch.setattr(module, "cores", lambda: 2)
    monkeypatch.setattr(module, "_BYTES", 300)
    lock, started, most = threading.Lock(), [], 0

    def work(item):
        with lock:
            started.append(item)
        return item * item

    for number, (item, result) in enumerate(prefetch(work, range(60), size=size)):
        assert (item, result) == (number, number * number)
        if number < 30:
            while len(started) < min(60, number + 2):  # the threads have caught up
                pass
            most = max(most, len(started) - number - 1)
    assert sorted(started) == list(range(60))
    return most


@pytest.mark.parametrize(
    ("size", "least", "most"), [(None, 1, 8), (lambda _: 0, 1, 8), (lambda _: 1000, 1, 2)]
)
def test_fewer_large_results_wait(monkeypatch, size, least, most):
    assert least <= most_ahead(monkeypatch, size) <= most


def test_the_consumer_sees_errors_in_their_place():
    def work(item):
        if item == 3:
            raise ValueError("three")
        return item

    results = prefetch(work, range(10), size=lambda _: 1)
    assert [next(results) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(ValueError, match="three"):
        next(results)
