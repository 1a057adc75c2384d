"""The reader without PyTorch reads what PyTorch reads, and runs nothing."""

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.backbones.checkpoint import read_legacy_checkpoint
from headstart.backbones.lite import VARIANTS, weights_file


def saved(content: Any) -> bytes:
    """A file in the format before PyTorch 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_embedded_files_are_read_as_pytorch_reads_them(name: str):
    file = weights_file(name)
    assert file is not None
    ours = read_legacy_checkpoint(file.read_bytes())
    theirs = torch.load(file, weights_only=True)
    assert list(ours) == list(theirs)
    for key, tensor in theirs.items():
        assert ours[key].dtype == tensor.numpy().dtype, key
        np.testing.assert_array_equal(ours[key], tensor.numpy(), err_msg=key)


def test_views_of_one_storage_come_out_as_they_were():
    base = torch.arange(24.0).reshape(4, 6)
    views = OrderedDict(
        all=base, turned=base.t(), part=base[1:3, 2:5], none=base[:0], one=torch.tensor(7)
    )
    read = read_legacy_checkpoint(saved(views))
    for key, tensor in views.items():
        np.testing.assert_array_equal(read[key], tensor.numpy(), err_msg=key)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path: Path):
    marker = tmp_path / "it-ran"
    for content in (saved({"weight": Malicious(marker)}), pickle.dumps(Malicious(marker))):
        with pytest.raises(pickle.UnpicklingError, match=r"system is not part of a state dict"):
            read_legacy_checkpoint(content)
    assert not marker.exists()


def test_other_formats_are_refused():
    content = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, content)  # the zip format
    with pytest.raises(pickle.UnpicklingError):
        read_legacy_checkpoint(content.getvalue())
    with pytest.raises(pickle.UnpicklingError, match="format before"):
        read_legacy_checkpoint(pickle.dumps(1))
