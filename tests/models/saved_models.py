"""Saved models on disk: what is in them, and changes as a tool or an accident makes them."""

import json

import pytest
from safetensors.numpy import load_file, save

from headstart.errors import SavedModelError
from headstart.models.model_folder import MANIFEST
from headstart.models.saved_model import load_model
from headstart.system.digests import bytes_digest


def arrays_of(folder):
    """The one file with arrays."""
    (path,) = folder.glob("model-*.safetensors")
    return path


def change(folder, **entries):
    """Change entries of the manifest; None deletes one."""
    path = folder / MANIFEST
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: v for key, v in content.items() if v is not None}))


def rewrite(folder, **arrays):
    """Change arrays, with the file's name made to fit: as a tool would, not as an accident."""
    content = save({**load_file(arrays_of(folder)), **arrays})
    arrays_of(folder).unlink()
    name = f"model-{bytes_digest(content)[:16]}.safetensors"
    (folder / name).write_bytes(content)
    change(folder, arrays=name)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(folder):
    """What `load_model` says; a sentence that names the place and what to do."""
    with pytest.raises(SavedModelError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert ";" in message
    return message
