"""The page for people, in a real Chromium, at the width of a telephone and by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from headstart.errors import MissingExtraError
from headstart.serving import explanations
from tests.conftest import files
from tests.serving.conftest import Running


def test_the_page_uses_nothing_from_elsewhere(client: TestClient):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert " style=" not in page.text  # its policy would forbid it
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]


def no_pytorch(*arguments: object) -> None:
    raise MissingExtraError("looking inside a network", extra="torch")


@pytest.mark.slow
class TestInChromium:
    @pytest.fixture(params=["light", "dark"])
    def page(
        self, request: pytest.FixtureRequest, chromium: Any, run: Callable[..., Running]
    ) -> Iterator[Any]:
        """The page, 360 pixels wide, on which nothing goes wrong unnoticed."""
        context = chromium.new_context(
            viewport={"width": 360, "height": 740}, color_scheme=request.param
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))

        def listen(message: Any) -> None:
            if message.type == "error":
                errors.append(message.text)

        page.on("console", listen)
        page.goto(f"http://{run().address}/")
        yield page
        assert [one for one in errors if "422" not in one and "501" not in one] == []
        context.close()

    def test_an_image_is_answered(self, page: Any, new_photos: Path):
        page.get_by_text("Tells 3 classes apart: checks, noise, stripes").wait_for()
        stripes = next(one for one in files(new_photos) if one.parent.name == "stripes")
        page.get_by_label("Choose an image").set_input_files(stripes)
        page.locator("#label").get_by_text("stripes, ").wait_for()
        assert page.locator("#top tr").count() == 3
        assert page.locator("#known").inner_text()
        assert page.locator("#image").evaluate("one => one.decode().then(() => one.width)") > 0
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360

        page.get_by_text("Model card").click()
        assert "checks" in page.locator("#card").inner_text()

        page.get_by_label("Choose an image").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": b"no image"}
        )
        page.get_by_text("no image could be read: not an image").wait_for()
        assert page.locator("#result").is_hidden()

    def test_it_is_used_by_keyboard(self, page: Any, new_photos: Path):
        page.get_by_text("Tells 3 classes apart").wait_for()
        reached = []
        for _ in range(4):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || 'summary'"))
        assert reached == ["model", "choose", "photo", "summary"]
        page.get_by_label("Choose an image").focus()
        page.on("filechooser", lambda chooser: chooser.set_files(files(new_photos)[0]))
        for _ in range(10):  # a Chromium that has just started may miss the first one
            page.keyboard.press("Space")
            page.wait_for_timeout(500)
            if page.locator("#result").is_visible():
                break
        page.locator("#label").get_by_text("checks, ").wait_for()

    def test_an_image_is_dropped_or_pasted(self, page: Any, new_photos: Path):
        page.get_by_text("Tells 3 classes apart").wait_for()
        for name, label in (("drop", "noise"), ("paste", "checks")):
            path = next(one for one in files(new_photos) if one.parent.name == label)
            page.evaluate(
                """([name, bytes]) => {
                  const data = new DataTransfer();
                  data.items.add(new File([new Uint8Array(bytes)], "a"));
                  const event = name === "drop"
                    ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
                    : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
                  document.body.dispatchEvent(event);
                }""",
                [name, list(path.read_bytes())],
            )
            page.locator("#label").get_by_text(f"{label}, ").wait_for()

    def test_without_an_explanation_it_says_why(
        self, page: Any, new_photos: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(explanations, "_map_drawer", no_pytorch)
        page.get_by_text("Tells 3 classes apart").wait_for()
        page.get_by_label("Choose an image").set_input_files(files(new_photos)[0])
        page.get_by_role("button", name="Show what it looked at").click()
        page.get_by_text("this server cannot explain predictions").wait_for()
        assert page.locator("#result").is_visible()  # the answer stays


@pytest.mark.slow
def test_a_key_is_asked_for(
    chromium: Any, run: Callable[..., Running], tmp_path: Path, new_photos: Path
):
    from dataclasses import replace

    from tests.serving.conftest import SMALL

    (tmp_path / "keys").write_text("0123456789abcdef\n")
    page = chromium.new_page()
    page.goto(f"http://{run(replace(SMALL, api_key_file=tmp_path / 'keys')).address}/")
    page.get_by_label("This server needs a key").fill("0123456789abcdef")
    page.keyboard.press("Enter")
    page.get_by_text("Tells 3 classes apart").wait_for()
    page.get_by_label("Choose an image").set_input_files(files(new_photos)[0])
    page.locator("#label").get_by_text("checks, ").wait_for()
    page.close()
