"""Reading weights, with and without PyTorch, and telling them apart."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from headstart.backbones.tensors import digest, read_tensors
from headstart.errors import BackboneError


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "b.weight": rng.normal(size=(3, 2)).astype(np.float32),
        "a.bias": rng.normal(size=3).astype(np.float16),
        "a.count": np.array(7, dtype=np.int64),
        "a.empty": np.zeros((0, 4), dtype=np.float32),
    }


def as_torch(tensors):
    return {name: torch.tensor(array) for name, array in tensors.items()}


def test_safetensors(tensors, tmp_path: Path):
    save_file(tensors, tmp_path / "w.safetensors")
    read = read_tensors(tmp_path / "w.safetensors")
    assert digest(read) == digest(tensors)
    assert all(array.flags.writeable for array in read.values())


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_pytorch_files(tensors, wrap, prefix, suffix, tmp_path: Path):
    content = {prefix + name: value for name, value in as_torch(tensors).items()}
    file = tmp_path / f"w{suffix}"
    torch.save({wrap: content, "epoch": 3} if wrap else content, file)
    assert digest(read_tensors(file)) == digest(tensors)


def test_other_pickle_protocols_are_read_without_a_warning(tensors, tmp_path: Path):
    path = tmp_path / "weights.pth"
    torch.save(
        {name: torch.from_numpy(array) for name, array in tensors.items()}, path, pickle_protocol=3
    )
    assert read_tensors(path).keys() == tensors.keys()


def test_bfloat16_becomes_float32(tmp_path: Path):
    value = torch.tensor([[1.5, -3.1415926], [1e-30, 3e38]], dtype=torch.bfloat16)
    save_torch_file({"x": value}, tmp_path / "w.safetensors")
    torch.save({"x": value}, tmp_path / "w.pth")
    for file in ("w.safetensors", "w.pth"):
        read = read_tensors(tmp_path / file)["x"]
        assert read.dtype == np.float32
        assert np.array_equal(read, value.float().numpy())


def test_safetensors_need_no_torch(tensors, tmp_path: Path):
    file = tmp_path / "w.safetensors"
    save_file(tensors, file)
    code = (
        "import sys; from pathlib import Path; from headstart.backbones.tensors import *;"
        f"print(digest(read_tensors(Path({str(file)!r})))); assert 'torch' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(tensors)


def test_digest_sees_everything(tensors):
    reference = digest(tensors)
    assert len(reference) == 32
    assert digest(dict(reversed(tensors.items()))) == reference
    big_endian = {**tensors, "a.count": tensors["a.count"].astype(">i8")}
    assert digest(big_endian) == reference
    strided = {**tensors, "b.weight": np.asfortranarray(tensors["b.weight"])}
    assert digest(strided) == reference
    changed = tensors["b.weight"].copy()
    changed[2, 1] = np.nextafter(changed[2, 1], np.float32(np.inf))
    others = [
        {**tensors, "b.weight": changed},
        {**tensors, "b.weight": tensors["b.weight"].reshape(2, 3)},
        {**tensors, "b.weight": tensors["b.weight"].view(np.int32)},
        {**tensors, "a.count": np.array([7], dtype=np.int64)},
        {name.replace("a.", "c."): array for name, array in tensors.items()},
        {name: array for name, array in tensors.items() if name != "a.empty"},
    ]
    assert len({reference, *map(digest, others)}) == len(others) + 1


class Bomb:
    def __reduce__(self):
        return (print, ("a file of weights ran code",))


def test_refusals(tmp_path: Path, capsys):
    with pytest.raises(BackboneError, match=r"no weights file at .*nowhere"):
        read_tensors(tmp_path / "nowhere.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(BackboneError, match="not a readable safetensors file"):
        read_tensors(tmp_path / "broken.safetensors")
    (tmp_path / "broken.pth").write_bytes(b"not a pickle")
    with pytest.raises(BackboneError, match="without running code"):
        read_tensors(tmp_path / "broken.pth")
    torch.save({"x": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(BackboneError, match="without running code"):
        read_tensors(tmp_path / "bomb.pth")
    assert "ran code" not in capsys.readouterr().out
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(BackboneError, match="contains a list"):
        read_tensors(tmp_path / "list.pth")
    torch.save({"x": torch.zeros(1), "epoch": 3}, tmp_path / "mixed.pth")
    with pytest.raises(BackboneError, match="'epoch' is a int, not a tensor"):
        read_tensors(tmp_path / "mixed.pth")
    save_file({}, tmp_path / "empty.safetensors")
    with pytest.raises(BackboneError, match="contains no tensors"):
        read_tensors(tmp_path / "empty.safetensors")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (torch.zeros(2).to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (torch.zeros(2, 2).to_sparse(), "sparse_coo"),
        (torch.zeros(2, 2, dtype=torch.complex64), "complex64"),
        (torch.zeros(2, device="meta"), "meta"),
    ],
    ids=["float8", "sparse", "complex", "meta"],
)
def test_tensors_that_are_not_plain_numbers_are_named(value, kind, tmp_path: Path):
    torch.save({"a": torch.zeros(1), "b": value}, tmp_path / "odd.pth")
    with pytest.raises(BackboneError, match=rf"b is not an ordinary tensor \(.*{kind}"):
        read_tensors(tmp_path / "odd.pth")


def test_a_view_that_repeats_its_values_is_refused(tmp_path: Path):
    torch.save({"a": torch.zeros(1).expand(10**9)}, tmp_path / "large.pth")
    with pytest.raises(BackboneError, match="larger than the file"):
        read_tensors(tmp_path / "large.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("legacy", [True, False])
def test_damaged_files_are_refused_in_words(tensors, suffix: str, legacy: bool, tmp_path: Path):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        named = {name: torch.from_numpy(array) for name, array in tensors.items()}
        torch.save(named, path, _use_new_zipfile_serialization=not legacy)
    else:
        save_file(tensors, path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        content = bytearray(whole)
        for place in random.integers(0, len(content), random.integers(1, 8)):
            content[place] = random.integers(256)
        path.write_bytes(content[: random.integers(1, len(content) + 1)])
        try:
            read_tensors(path)
        except BackboneError as error:
            refused += len(str(error)) < 1_000
    assert refused > 100
