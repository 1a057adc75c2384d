import gzip
import hashlib
import io
import struct
import sys
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from headstart.datasets import list_datasets, open_dataset
from headstart.datasets.layouts import read_idx, write_images
from headstart.datasets.named import open_named
from headstart.errors import DataError, DownloadError, MissingExtraError
from headstart.images.decode import decode
from headstart.system.digests import bytes_digest
from headstart.system.download import Download
from headstart.types import Split

KNOWN = {one.name: one for one in list_datasets()}


def test_the_list():
    assert list(KNOWN)[:2] == ["digits", "textiles"]
    for one in list_datasets():
        assert one.embedded == (one.size == 0)
        assert (one.title and one.license) != ""
        assert one.classes >= 2
        for download in one.downloads:
            assert download.url.startswith("https://")
            assert len(bytes.fromhex(download.sha256)) == 32


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return open_dataset("digits", cache=tmp_path_factory.mktemp("cache"))


def test_digits(digits):
    assert len(digits) == KNOWN["digits"].images
    assert digits.classes == tuple("0123456789")
    assert (digits.name, digits.license, digits.skipped) == ("digits", "CC BY 4.0", ())
    pixels = np.stack([np.asarray(decode(path)) for path in digits.paths])
    assert pixels.shape == (1797, 8, 8, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)
    from sklearn.datasets import load_digits

    source = load_digits()
    number = [int(path.stem) for path in digits.paths]
    assert (digits.labels == source.target[number]).all()
    assert np.abs(pixels[..., 0] * (16 / 255) - source.images[number]).max() < 0.04


def test_the_bytes_of_digits_never_change(digits):
    """Stored features are found by them."""
    digests = [bytes_digest(path.read_bytes()) for path in digits.paths]
    assert bytes_digest("".join(digests).encode()) == "c384efeeffc2089d8ff9a862323ef8c6"


def test_digits_are_written_once(digits):
    cache = digits.paths[0].parents[3]
    before = digits.paths[0].stat().st_mtime_ns
    assert open_dataset("digits", cache=cache).paths == digits.paths
    assert digits.paths[0].stat().st_mtime_ns == before


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (5, 7, 3), (300, 300, 3)])
def test_written_images(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    write_images(pixels, np.array([1, 0]), ["a", "b"], tmp_path, prefix="x_")
    extension = "ppm" if len(shape) == 3 else "pgm"
    for name, expected in zip(("b/x_00000", "a/x_00001"), pixels, strict=True):
        image = np.asarray(decode(tmp_path / f"{name}.{extension}"))
        assert (image == (expected if len(shape) == 3 else expected[..., None])).all()


def test_textiles(tmp_path):
    pytest.importorskip("conformal_clip_data")
    found = open_dataset("textiles", cache=tmp_path)
    assert len(found) == KNOWN["textiles"].images
    assert found.classes == ("global", "local", "nominal")
    assert list(tmp_path.iterdir()) == []


def test_textiles_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\.\[textiles\]"):
        open_dataset("textiles", cache=tmp_path)


@pytest.fixture
def serve(server):
    """Puts made-up files in the place of a known data set's."""

    def known(name, *contents):
        def answer(handler):
            content = contents[int(handler.path[1])]
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        server.RequestHandlerClass = type(
            "Files", (server.RequestHandlerClass,), {"do_GET": answer}
        )
        base = server.url.removesuffix("file.bin")
        downloads = tuple(
            Download(f"{base}{number}.bin", hashlib.sha256(content).hexdigest(), len(content))
            for number, content in enumerate(contents)
        )
        return replace(KNOWN[name], downloads=downloads)

    return known


def zip_of(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def parts(dataset):
    return sorted(
        (dataset.splits[row].value if dataset.splits else "", dataset.classes[label], path.name)
        for row, (path, label) in enumerate(
            zip(dataset.paths, dataset.labels.tolist(), strict=True)
        )
    )


def test_ants_bees(serve, tmp_path):
    top = "hymenoptera_data"
    files = {
        f"{top}/{name}": b"x" for name in ("train/ants/1.jpg", "train/bees/2.jpg", "val/ants/3.jpg")
    }
    told = []
    dataset = serve("ants-bees", zip_of(files))
    found = open_named(dataset, cache=tmp_path, progress=lambda *numbers: told.append(numbers))
    assert parts(found) == [
        ("train", "ants", "1.jpg"),
        ("train", "bees", "2.jpg"),
        ("validation", "ants", "3.jpg"),
    ]
    assert told
    # Once laid out, neither the network nor the download is needed.
    offline = replace(dataset, downloads=(Download("http://127.0.0.1:9/x", "", 1),))
    assert open_named(offline, cache=tmp_path).paths == found.paths
    assert not any(path.is_file() for path in (tmp_path / "datasets" / "downloads").rglob("*"))


def test_cats_vs_dogs(serve, tmp_path):
    files = {
        "PetImages/Cat/0.jpg": b"x",
        "PetImages/Dog/1.jpg": b"",
        "PetImages/Cat/Thumbs.db": b"x",
    }
    dataset = serve("cats-vs-dogs", zip_of(files | {"readme[1].txt": b"terms"}))
    found = open_named(dataset, cache=tmp_path)
    assert parts(found) == [("", "Cat", "0.jpg"), ("", "Dog", "1.jpg")]
    assert found.skipped == ()


def test_oxford_pets(serve, tmp_path):
    names = ["Abyssinian_1", "american_bulldog_12", "Abyssinian_2", "american_bulldog_3"]
    pictures = tar_of({f"images/{name}.jpg": b"x" for name in names} | {"images/odd.mat": b"x"})
    lists = tar_of(
        {
            "annotations/trainval.txt": b"Abyssinian_1 1 1 1\namerican_bulldog_12 2 2 1\n",
            "annotations/test.txt": b"# a comment\nAbyssinian_2 1 1 1\namerican_bulldog_3 2 2 1\n",
        }
    )
    breeds = open_named(serve("oxford-pets", pictures, lists), cache=tmp_path)
    assert parts(breeds) == [
        ("test", "Abyssinian", "Abyssinian_2.jpg"),
        ("test", "american_bulldog", "american_bulldog_3.jpg"),
        ("train", "Abyssinian", "Abyssinian_1.jpg"),
        ("train", "american_bulldog", "american_bulldog_12.jpg"),
    ]
    # The same files under other names: nothing is downloaded again.
    species = open_named(KNOWN["oxford-pets-species"], cache=tmp_path)
    assert (species.name, species.classes) == ("oxford-pets-species", ("cat", "dog"))
    assert species.license == breeds.license
    assert sorted(species.paths) == sorted(breeds.paths)
    assert [part[:2] for part in parts(species)] == [
        ("test", "cat"),
        ("test", "dog"),
        ("train", "cat"),
        ("train", "dog"),
    ]


def idx(array):
    head = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.tobytes())


def test_mnist(serve, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    labels = np.array([3, 0, 3, 9, 1], dtype=np.uint8)
    files = [idx(pixels[:3]), idx(labels[:3]), idx(pixels[3:]), idx(labels[3:])]
    found = open_named(serve("mnist", *files), cache=tmp_path)
    assert parts(found) == [
        ("test", "1", "00001.pgm"),
        ("test", "9", "00000.pgm"),
        ("train", "0", "00001.pgm"),
        ("train", "3", "00000.pgm"),
        ("train", "3", "00002.pgm"),
    ]
    train = found.in_split(Split.TRAIN)
    assert (np.asarray(decode(train.paths[0]))[..., 0] == pixels[1]).all()


def test_cifar10(serve, tmp_path):
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship"]
    names.append("truck")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    records = [
        bytes([label]) + picture.tobytes()
        for label, picture in zip((0, 9, 2, 0), pixels, strict=True)
    ]
    top = "cifar-10-batches-bin"
    archive = tar_of(
        {
            f"{top}/batches.meta.txt": ("\n".join(names) + "\n\n").encode(),
            f"{top}/data_batch_1.bin": b"".join(records[:2]),
            f"{top}/data_batch_2.bin": records[2],
            f"{top}/test_batch.bin": records[3],
        }
    )
    found = open_named(serve("cifar10", archive), cache=tmp_path)
    assert parts(found) == [
        ("test", "airplane", "test_batch_00000.ppm"),
        ("train", "airplane", "data_batch_1_00000.ppm"),
        ("train", "bird", "data_batch_2_00000.ppm"),
        ("train", "truck", "data_batch_1_00001.ppm"),
    ]
    bird = found.paths[found.labels.tolist().index(found.classes.index("bird"))]
    assert (np.asarray(decode(bird)) == pixels[2].transpose(1, 2, 0)).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip", "not a gzip file"),
        (gzip.compress(b"\0\0\x0d\1", mtime=0), "not an IDX file"),
        (gzip.compress(b"\0\0\x08\1" + struct.pack(">I", 5) + b"ab", mtime=0), "has 2 values"),
    ],
    ids=["no gzip", "another kind of idx", "cut short"],
)
def test_wrong_idx_files(tmp_path, content, message):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "x.gz")


def test_offline(tmp_path):
    dataset = KNOWN["ants-bees"]
    gone = replace(dataset.downloads[0], url="http://127.0.0.1:9/hymenoptera_data.zip")
    with pytest.raises(DownloadError, match=r"put it at .*downloads.*hymenoptera_data.zip"):
        open_named(replace(dataset, downloads=(gone,)), cache=tmp_path)
    assert not (tmp_path / "datasets" / dataset.name).exists()


def test_torch_is_not_needed():
    """Opening data must stay quick; the whole package is checked for layers elsewhere."""
    import subprocess

    code = "import sys, headstart.datasets.splits; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
