"""The public surface."""

from __future__ import annotations

import pytest

import headstart


def test_the_public_names_are_these_and_can_be_had() -> None:
    assert set(headstart.__all__) == {*headstart._HOMES, "__version__"}
    for name in headstart.__all__:
        assert getattr(headstart, name) is not None


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Clasifier'"):
        headstart.Clasifier  # noqa: B018
