"""Six attacks on the viewer in a real browser, each beside the same attack on a bare viser server, where it works.

The attackers of the websocket, the Host and the frame know the token: what refuses them is not that they cannot guess.
"""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("viser", reason="the extra `view` is not installed: pip install 'headfield[view]'")

import numpy as np
import viser

from headfield.edit.presets import preset_loop
from headfield.view.app import Viewer
from headfield.view.opening import mean_head

SCAN = Path(__file__).parents[2] / "examples" / "data" / "scan.ply"
NAME = "<img src=x onerror=window.pwned=1>![a](y).ply"
"""A file's name may hold all but a slash."""

SOCKET = f"""url => new Promise(done => {{
  let socket;
  try {{ socket = new WebSocket(url, ["viser-v{viser.__version__}"]); }} catch (error) {{ return done(false); }}
  socket.onmessage = () => done(true);
  socket.onclose = socket.onerror = () => done(false);
}})"""
"""Whether a websocket opens and the server tells it something."""

READ = """url => fetch(url, { credentials: "include" }).then(answer => answer.text()).then(text => text.length > 0)
  .catch(() => false)"""

MARKUP = """() => window.pwned || [...document.querySelectorAll("img")].some(each => /[xy]$/.test(each.src))"""


@pytest.fixture(scope="module")
def hostile():
    """A server of a page that means no good; yields its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>hostile</title>")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def viewer(model):
    viewer = Viewer(mean_head(model, "imhead-open-small"), port=0, resolution=64, coarse=32, bake_vertices=700)
    yield viewer
    viewer.close()


@pytest.fixture(scope="module")
def bare():
    """A viser server as it comes, which shows a file's name as the viewer used to."""
    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    server.gui.add_markdown(f"<small>**{NAME}**</small>")
    yield server
    server.stop()


def _at(victim, url: str):
    """A page of any origin, of the attacker's making: a name that is rebound showed it before it was."""
    page = victim.new_page()
    page.route(url, lambda route: route.fulfill(body="<title>hostile</title>", content_type="text/html"))
    page.goto(url)
    return page


def attacks(victim, hostile: int, port: int, path: str, wrong: tuple[str, ...]) -> dict[str, bool]:
    """Which attacks work on a server, whose page is at a path and must not be at the `wrong` ones."""
    here, socket = f"http://127.0.0.1:{port}", f"127.0.0.1:{port}{path}".rstrip("/")
    foreign = victim.new_page()
    foreign.goto(f"http://hostile.example:{hostile}/")
    works = {"foreign origin opens the websocket": foreign.evaluate(SOCKET, f"ws://{socket}")}

    page = victim.new_page()
    works["rebound host gets the page"] = page.goto(f"http://rebound.example:{port}{path}").ok
    page.close()
    page = _at(victim, f"http://rebound.example:{port}/hostile")
    works["rebound host opens the websocket"] = page.evaluate(SOCKET, f"ws://rebound.example:{port}{path}".rstrip("/"))
    page.close()

    page = _at(victim, f"{here}/hostile")  # of the right origin, as another program on this machine may feign
    works["no or a wrong token gets in"] = any(
        page.evaluate(SOCKET, f"ws://127.0.0.1:{port}{other}".rstrip("/")) or page.request.get(f"{here}{other}").ok
        for other in wrong
    )
    page.close()

    foreign.evaluate(
        """url => new Promise(done => {
          const frame = document.createElement("iframe");
          frame.onload = done;
          frame.src = url;
          document.body.append(frame);
        })""",
        f"{here}{path}",
    )
    framed = foreign.frames[1].url.startswith(here)
    works["foreign page frames or reads it"] = framed or foreign.evaluate(READ, f"{here}{path}")
    foreign.close()
    return works


def _shows_markup(victim, url: str, upload: bytes | None = None) -> bool:
    """Whether a page makes elements, requests or acts of a file's name, wherever it shows it.

    Args:
        victim: A browser.
        url: Of the page; a bare server's shows the name already.
        upload: A scan to send to the viewer under that name.
    """
    page = victim.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    if upload is not None:
        page.get_by_role("tab", name="Head").wait_for(timeout=180_000)
        for name in (NAME, NAME.replace(".ply", ".jpg")):  # one that is opened, and one that is refused
            page.locator("input[type=file]").first.set_input_files(
                {"name": name, "mimeType": "application/octet-stream", "buffer": upload}
            )
        page.locator("small").filter(has_text="Scan to head").wait_for(timeout=180_000)
        page.locator("[role=alert]").filter(has_text=".jpg").first.wait_for(timeout=180_000)
        assert page.locator("small").filter(has_text=NAME).count() >= 1  # the name is there, letter for letter
    else:
        page.get_by_text(".ply").first.wait_for(timeout=180_000)
    made = bool(page.evaluate(MARKUP)) or any(one.endswith(("/x", "/y")) for one in asked)
    page.close()
    return made


def test_no_attack_works(victim, hostile, viewer, bare):
    path = "/" + viewer.url.split("/", 3)[3]
    port = viewer.server.get_port()
    token = path.strip("/")
    wrong = ("/", "/index.html", f"/{token[:-1]}/", f"/{token[::-1]}/", f"/?{token}")
    on_bare = attacks(victim, hostile, bare.get_port(), "/", ("/",))
    on_bare["a file's name becomes markup"] = _shows_markup(victim, f"http://127.0.0.1:{bare.get_port()}/")
    on_viewer = attacks(victim, hostile, port, path, wrong)
    viewer.animation.add(NAME, preset_loop(np.eye(52)[:2], fps=20.0))
    viewer.panels.show_takes(viewer.animation.takes, NAME)  # a track of that name, as an uploaded one is shown
    on_viewer["a file's name becomes markup"] = _shows_markup(victim, viewer.url, SCAN.read_bytes())
    print(f"\nbare viser: {sum(on_bare.values())} of 6 attacks work; the viewer: {sum(on_viewer.values())} of 6")
    assert len(on_viewer) == 6 and all(on_bare.values()), on_bare
    assert not any(on_viewer.values()), on_viewer


def test_every_answer_keeps_out_frames_and_other_origins(viewer):
    _, _, own, rest = viewer.url.split("/", 3)
    connection = http.client.HTTPConnection(own, timeout=180)
    for path, status in ((f"/{rest}", 200), (f"/{rest}nothing", 404), ("/", 403)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY" and answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Access-Control-Allow-Origin"] is None
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        connection.close()
