"""What is not here, and how large it is."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.backbones import download_size
from headstart.backbones.download import fetch_from_hub, fetch_from_url
from headstart.errors import DownloadError, NotCachedError


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        size = self.server.sizes.get(self.path)  # type: ignore[attr-defined]
        if size is None:
            self.send_error(404)
            return
        self.send_response(200)
        if size >= 0:
            self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.sizes = {"/weights.pth": 46_830_571, "/silent.pth": -1}  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def missing(*addresses: str) -> NotCachedError:
    return NotCachedError("x", addresses=addresses)


def test_the_size_is_asked_of_the_server(address: str):
    with pytest.raises(NotCachedError) as caught:
        fetch_from_url("resnet", f"{address}/weights.pth", allow_download=False)
    assert download_size(caught.value) == 46_830_571


def test_the_first_file_that_is_there_counts(address: str):
    both = missing(f"{address}/absent.safetensors", f"{address}/weights.pth")
    assert download_size(both) == 46_830_571


def test_nobody_may_tell(address: str):
    assert download_size(missing(f"{address}/silent.pth")) is None
    assert download_size(missing(f"{address}/absent.pth")) is None
    assert download_size(missing("http://127.0.0.1:9/nobody.pth")) is None
    assert download_size(missing()) is None


def test_of_the_hub_it_is_the_weights_that_are_large():
    def addresses(repository: str, *files: str, **more) -> tuple[str, ...]:
        with pytest.raises(NotCachedError) as caught:
            fetch_from_hub("x", repository, files, allow_download=False, **more)
        return caught.value.addresses

    home = "https://huggingface.co/someone/insects/resolve"
    assert addresses("someone/insects", "a.safetensors", "b.bin") == (
        f"{home}/main/a.safetensors",
        f"{home}/main/b.bin",
    )
    assert addresses("someone/insects@v2", "config.json", then=("a.safetensors",)) == (
        f"{home}/v2/a.safetensors",
    )


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked: list[str] = []
    here = {"b.bin": str(tmp_path / "b.bin")}

    def ask(repository: str, file: str, *, revision: str | None) -> str:
        asked.append(file)
        raise LocalEntryNotFoundError("offline")

    def look(repository: str, file: str, *, revision: str | None) -> str | None:
        return here.get(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", ask)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", look)
    files = ("a.safetensors", "b.bin")
    found = fetch_from_hub("x", "someone/insects", files, allow_download=True)
    assert (found, asked) == (tmp_path / "b.bin", [])
    here.clear()
    with pytest.raises(DownloadError, match=r"a\.safetensors of x: the Hub did not answer"):
        fetch_from_hub("x", "someone/insects", files, allow_download=True)
    assert asked == ["a.safetensors"]
