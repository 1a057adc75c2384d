"""The reader without PyTorch reads what PyTorch reads, and runs nothing."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.backbones.checkpoint import read_legacy_checkpoint
from headstart.backbones.lite import LITE_NAMES, weights_file
from headstart.errors import BackboneError


def save(content: Any, path: Path) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = OrderedDict(weight=torch.arange(12.0).reshape(3, 4), count=torch.tensor(7))
    return save(tensors, tmp_path_factory.mktemp("checkpoint") / "small.pth")


@pytest.mark.parametrize("name", LITE_NAMES)
def test_the_embedded_files_are_read_as_pytorch_reads_them(name: str):
    file = weights_file(name)
    assert file is not None
    ours = read_legacy_checkpoint(file)
    theirs = torch.load(file, weights_only=True)
    assert list(ours) == list(theirs)
    for key, tensor in theirs.items():
        assert ours[key].dtype == tensor.numpy().dtype, key
        np.testing.assert_array_equal(ours[key], tensor.numpy(), err_msg=key)


def test_views_of_one_storage_come_out_as_they_were(tmp_path: Path):
    base = torch.arange(24.0).reshape(4, 6)
    views = OrderedDict(all=base, turned=base.t(), part=base[1:3, 2:5], none=base[:0])
    read = read_legacy_checkpoint(save(views, tmp_path / "views.pth"))
    for key, tensor in views.items():
        np.testing.assert_array_equal(read[key], tensor.numpy(), err_msg=key)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path: Path):
    marker = tmp_path / "it-ran"
    file = save({"weight": Malicious(marker)}, tmp_path / "evil.pth")
    with pytest.raises(BackboneError, match=r"system is not part of a state dict"):
        read_legacy_checkpoint(file)
    file.write_bytes(pickle.dumps(Malicious(marker)))
    with pytest.raises(BackboneError, match=r"system is not part of a state dict"):
        read_legacy_checkpoint(file)
    assert not marker.exists()


class Forged:
    """A tensor that claims to be larger than its storage."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, self.arguments


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (1_000_000,), (1,)),
        (5, (4,), (1,)),
        (-1, (2,), (1,)),
        (4, (3,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (2,), (1 << 70,)),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    offset: int, shape: tuple[int, ...], stride: tuple[int, ...], tmp_path: Path
):
    storage = torch.storage.TypedStorage(
        wrap_storage=torch.arange(6.0).untyped_storage(), dtype=torch.float32, _internal=True
    )
    forged = Forged(storage, offset, shape, stride, False, OrderedDict())
    file = save({"weight": forged}, tmp_path / "forged.pth")
    with pytest.raises(BackboneError, match="not a readable state dict"):
        read_legacy_checkpoint(file)


@pytest.mark.parametrize("kept", [0, 1, 10, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(kept: float, small: Path, tmp_path: Path):
    content = small.read_bytes()
    file = tmp_path / "truncated.pth"
    file.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(BackboneError, match="not a readable state dict"):
        read_legacy_checkpoint(file)


def test_other_formats_are_refused(tmp_path: Path):
    file = tmp_path / "new.pth"
    torch.save({"weight": torch.zeros(2)}, file)  # the zip format
    with pytest.raises(BackboneError):
        read_legacy_checkpoint(file)
    with pytest.raises(BackboneError, match="No such file"):
        read_legacy_checkpoint(tmp_path / "absent.pth")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_an_error_of_ours_or_numbers(small: Path, data: st.DataObject):
    content = bytearray(small.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    damaged = small.with_name("damaged.pth")
    damaged.write_bytes(content)
    try:
        tensors = read_legacy_checkpoint(damaged)
    except BackboneError:
        return
    assert all(isinstance(array, np.ndarray) for array in tensors.values())
