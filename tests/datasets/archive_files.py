"""Archives that tests make, and what was read of them."""

import io
import tarfile
import zipfile

PHOTOS = {"cats/1.jpg": b"1", "cats/2.jpg": b"22", "dogs/3.jpg": b"333"}


def unpacked(cache):
    """What the cache holds of archives, its own mark apart."""
    return [path for path in (cache / "archives").iterdir() if path.is_dir()]


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path, files, *others):
    kind = path.name.rpartition(".tar.")[2]
    with tarfile.open(path, f"w:{kind if kind in ('gz', 'bz2', 'xz') else ''}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for other in others:
            archive.addfile(other)
    return path


def packed(path, files):
    return zipped(path, files) if path.suffix == ".zip" else tarred(path, files)


def names(dataset):
    return [f"{path.parent.name}/{path.name}" for path in dataset.paths]


def reasons(dataset):
    return {one.path: one.reason for one in dataset.skipped}
