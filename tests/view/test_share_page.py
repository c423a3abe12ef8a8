"""The share page: whole in one file, and alive in a real browser without any request, error or warning of its own."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import struct

import numpy as np
import pytest
import trimesh

from headfield.errors import ConfigError
from headfield.frames import reference_anchors
from headfield.types import ARKIT
from headfield.view import share_page as module
from headfield.view.face_areas import face_areas
from headfield.view.region_colours import REGION_COLOURS, region_index
from headfield.view.share_page import share_page


def toy_glb(unit: float = 0.25) -> tuple[bytes, np.ndarray]:
    """A ball the size of a head with all 52 targets, of which jawOpen and mouthSmileLeft move; and its vertices."""
    ball = trimesh.creation.icosphere(4)
    vertices = (np.array(ball.vertices) * [0.4, 0.5, 0.45]).astype("<f4")
    lower = np.clip(-vertices[:, 1] * 4, 0, 1)[:, None] * (vertices[:, 2:] > 0)
    shapes = {"jawOpen": lower * [0, -0.25, 0.1], "mouthSmileLeft": lower * (vertices[:, :1] > 0) * [0.1, 0.1, 0]}
    views, accessors, chunks, offset = [], [], [], 0

    def add(array, kind, component):
        nonlocal offset
        content = np.ascontiguousarray(array).tobytes()
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(content)})
        accessor = {"bufferView": len(views) - 1, "componentType": component, "count": len(array), "type": kind}
        if kind == "VEC3":
            accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
        accessors.append(accessor)
        chunks.append(content)
        offset += len(content)
        return len(accessors) - 1

    still = np.zeros_like(vertices)
    attributes = {"POSITION": add(vertices * np.float32(unit), "VEC3", 5126)}
    indices = add(np.array(ball.faces, "<u4").reshape(-1), "SCALAR", 5125)
    zero = add(still, "VEC3", 5126)
    targets = [{"POSITION": add((unit * shapes[name]).astype("<f4"), "VEC3", 5126) if name in shapes else zero}
               for name in ARKIT]  # fmt: skip
    mesh = {"primitives": [{"attributes": attributes, "indices": indices, "targets": targets}],
            "extras": {"targetNames": list(ARKIT)}}  # fmt: skip
    document = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "name": "head"}],
        "meshes": [mesh], "buffers": [{"byteLength": offset}], "bufferViews": views, "accessors": accessors,
    }  # fmt: skip
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + offset) + struct.pack("<I4s", len(text), b"JSON")
    return head + text + struct.pack("<I4s", offset, b"BIN\0") + b"".join(chunks), vertices


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    glb, vertices = toy_glb()
    path = tmp_path_factory.mktemp("share") / "head.html"
    path.write_text(share_page(glb, title="A <test> & head", regions=region_index(vertices, reference_anchors())))
    return path


# ---- the file ------------------------------------------------------------------------------------------------------


def test_every_channel_is_in_one_group():
    channels = [channel for area in face_areas().values() for channel in area]
    assert sorted(channels) == sorted(ARKIT)
    assert all(face_areas().values())


def test_the_page_holds_the_glb_and_names_no_other_place(page):
    text = page.read_text()
    packed = re.search(r'id="glb">([^<]*)<', text)[1]
    assert gzip.decompress(base64.b64decode(packed)) == toy_glb()[0]
    assert "{{" not in text.partition("<script>")[0] and "A &lt;test&gt; &amp; head" in text
    shell = text.replace(packed, "").replace(module._part("share.min.js"), "")
    assert not re.search(r"https?://|//cdn|src=|@import|url\(", shell)
    assert "default-src 'none'" in shell
    assert json.loads(re.search(r'id="about">(.*?)</script>', text, re.S)[1])["presets"]["smile"]


def test_hostile_names_stay_text():
    text = share_page(toy_glb()[0], title="</script><script>alert(1)</script>", file="</script>{{GLB}}")
    assert "<script>alert" not in text and text.count("</script>") == share_page(toy_glb()[0]).count("</script>")


def test_the_bundle_is_small_and_carries_its_licence():
    bundle = module._part("share.min.js")
    assert len(bundle) <= 1.2e6 and "MIT licence" in bundle[:200] and "</script" not in bundle
    assert "MIT License" in module._part("THREE-LICENSE.txt")


def test_only_a_glb_is_taken():
    with pytest.raises(ConfigError, match="GLB"):
        share_page(b"ply\n")


def test_regions_are_where_they_should_be():
    anchors = reference_anchors()
    names = list(REGION_COLOURS)
    found = [names[index] for index in region_index(anchors, anchors)]
    expected = {33: "nose", 0: "mouth", 36: "nose", 37: "forehead", 38: "chin", 16: "jaw", 20: "left_ear"}
    assert {place: found[place] for place in expected} == expected
    assert set(found) == set(names) and region_index(anchors, anchors).dtype == np.uint8


# ---- in a browser --------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(browser, page):
    """The page in a fresh tab, with every request and every console message that is not the driver's."""
    tab = browser.new_page(viewport={"width": 900, "height": 700}, color_scheme="light", reduced_motion="reduce")
    requests, messages = [], []

    def heard(message):
        if "GL Driver Message" not in message.text:  # the software renderer's own complaints about screenshots
            messages.append(message.text)

    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", heard)
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready]", timeout=180_000)
    yield tab
    tab.close()
    assert requests == [page.as_uri()], requests
    assert messages == [], messages


def _picture(tab) -> np.ndarray:
    from PIL import Image

    tab.wait_for_timeout(250)
    return np.asarray(Image.open(io.BytesIO(tab.locator("#view").screenshot())).convert("RGB"), dtype=float)


def _slide(tab, channel, value):
    tab.eval_on_selector(f"#s-{channel}", "(s, v) => { s.value = v; s.dispatchEvent(new Event('input')); }", value)


def test_sliders_presets_and_reset_move_the_picture(opened):
    before = _picture(opened)
    _slide(opened, "jawOpen", 1)
    moved = np.abs(_picture(opened) - before).max(axis=-1) > 8
    height = len(moved)
    assert moved[height // 2 :].mean() > 0.02, "the jaw did not open"
    assert moved[: height // 3].mean() < 0.002, "something else moved"
    opened.click("#reset")
    assert np.abs(_picture(opened) - before).max() <= 2
    _slide(opened, "mouthSmileLeft", 0.5)
    assert opened.input_value("#s-mouthSmileRight") == "0", "a channel that nothing moves stays switched off"
    opened.click("button[data-preset=laugh]")
    assert opened.input_value("#s-jawOpen") == "0.45" and opened.input_value("#s-mouthSmileLeft") == "0.9"
    assert opened.locator("button[aria-pressed=true]").inner_text().lower() == "laugh"


def test_keyboard_alone_is_enough(opened):
    start = _picture(opened)
    opened.focus("summary:has-text('Jaw')")
    opened.keyboard.press("Enter")  # opens the group
    opened.focus("#s-jawOpen")
    opened.keyboard.press("End")
    assert opened.input_value("#s-jawOpen") == "1" and np.abs(_picture(opened) - start).max() > 30
    opened.keyboard.press("r")
    assert opened.input_value("#s-jawOpen") == "0"
    for key in ("g", "w", "d"):
        before = _picture(opened)
        opened.keyboard.press(key)
        assert np.abs(_picture(opened) - before).max() > 20, key
        opened.keyboard.press(key)
        assert np.abs(_picture(opened) - before).max() <= 2, key
    opened.focus("#view")
    start = _picture(opened)  # with the ring of the focus
    opened.keyboard.press("ArrowLeft")
    assert np.abs(_picture(opened) - start).max() > 8
    opened.keyboard.press("f")
    assert np.abs(_picture(opened) - start).max() <= 2
    nameless = "all => all.filter(n => !(n.innerText || n.title || n.labels?.length)).length"
    assert opened.eval_on_selector_all("button, input", nameless) == 0


def test_regions_are_named_under_the_pointer(opened):
    opened.click("#regions")
    assert opened.locator("#legend span").count() == len(REGION_COLOURS)
    area = opened.locator("#view").bounding_box()
    opened.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2)
    opened.wait_for_selector("#tip:not([hidden])")
    assert opened.inner_text("#tip") in [name.replace("_", " ") for name in REGION_COLOURS]
    opened.click("#regions")
    assert opened.locator("#legend").is_hidden()


def test_the_glb_can_be_saved_again(opened):
    with opened.expect_download() as download:
        opened.click("#save")
    with open(download.value.path(), "rb") as file:
        assert file.read() == toy_glb()[0]


def test_a_damaged_page_says_so(browser, page, tmp_path):
    text = page.read_text()
    packed = re.search(r'id="glb">([^<]*)<', text)[1]
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace(packed, packed[:2000]))
    tab = browser.new_page()
    tab.goto(broken.as_uri())
    tab.wait_for_selector("#message:not([hidden])")
    assert "cannot be read" in tab.inner_text("#message")
    tab.close()


def test_a_baked_head_poses_in_the_browser(browser, bald, baked, tmp_path):
    pytest.importorskip("xatlas", reason="texture coordinates need the extra export: pip install 'headfield[export]'")
    from headfield.edit.record import SavedHead
    from headfield.surface.head import Head

    saved = SavedHead(Head(bald.model, bald.codes), "imhead-open-small", name="mean head")
    path = tmp_path / "baked.html"
    path.write_bytes(module.page_of(saved, baked))
    tab = browser.new_page(viewport={"width": 1000, "height": 700})
    asked, said = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    tab.goto(path.as_uri())
    tab.wait_for_selector("#s-jawOpen", state="attached")
    tab.wait_for_timeout(500)
    start = _picture(tab)
    for channel in ("jawOpen", "eyeBlinkLeft", "eyeLookOutLeft"):
        set_slider = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }"
        tab.eval_on_selector(f"#s-{channel}", set_slider, "1")
        tab.wait_for_timeout(300)
        changed = np.abs(_picture(tab) - start).max(-1) > 20
        assert 20 < changed.sum() < 0.3 * changed.size, channel
        tab.eval_on_selector(f"#s-{channel}", set_slider, "0")
    tab.wait_for_timeout(300)
    assert np.abs(_picture(tab) - start).max() <= 2
    assert all(url.startswith(("file:", "blob:", "data:")) for url in asked) and not said
    tab.close()
