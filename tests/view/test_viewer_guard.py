"""The guard's rules, without a browser: who is let in, and what every answer promises."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

pytest.importorskip("viser", reason="the extra `view` is not installed: pip install 'headfield[view]'")

import viser
from websockets.datastructures import Headers

from headfield.errors import ConfigError
from headfield.view.app import Viewer
from headfield.view.guard import Guard, check_guarded
from headfield.view.markup import plain
from headfield.view.opening import mean_head

OWN = "127.0.0.1:8080"


def _refused(guard: Guard, path: str | None = None, **headers) -> bool:
    given = Headers()
    for name, value in headers.items():
        for one in value if isinstance(value, list) else [value]:
            given[name.replace("_", "-")] = one
    return guard.refusal(f"/{guard.token}/" if path is None else path, given) is not None


def test_only_names_of_this_machine_are_hosts():
    here = Guard.of("127.0.0.1")
    for host in (OWN, "localhost:9000", "LOCALHOST", "[::1]:8080"):
        assert not _refused(here, Host=host), host
    foreign = ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.5:8080", "", "[::1",
               "127.0.0.1:8080;x", "evil.example@127.0.0.1", "2130706433"]  # fmt: skip
    for host in (*foreign, [OWN, OWN], [OWN, "evil.example"], []):
        assert _refused(here, Host=host), host


def test_an_address_that_was_asked_for_is_a_host_and_all_addresses_are_any_in_digits():
    assert not _refused(Guard.of("192.168.1.5"), Host="192.168.1.5:8080")
    assert _refused(Guard.of("192.168.1.5"), Host="192.168.1.6:8080")
    assert not _refused(Guard.of("Box.lan"), Host="box.lan:8080")
    for host in ("0.0.0.0", "::"):
        everywhere = Guard.of(host)
        assert not _refused(everywhere, Host="192.168.1.6:8080") and not _refused(everywhere, Host="[fe80::1]:8080")
        assert _refused(everywhere, Host="evil.example:8080")
        assert _refused(everywhere, "/", Host="192.168.1.6:8080")  # the token is asked for all the same


def test_origins():
    guard, socket = Guard.of("127.0.0.1"), {"Host": OWN, "Upgrade": "websocket"}
    assert not _refused(guard, Host=OWN, Origin=f"http://{OWN}")
    assert not _refused(guard, **socket, Origin=f"http://{OWN}")
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:8081",
        "http://localhost:8080",
        f"http://{OWN}/",
        "",
    ):
        assert _refused(guard, **socket, Origin=origin), origin
        assert _refused(guard, Host=OWN, Origin=origin), origin
    assert _refused(guard, **socket)
    assert _refused(guard, Host=OWN, Sec_Fetch_Dest="iframe")


def test_tokens():
    guard, other = Guard.of("127.0.0.1"), Guard.of("127.0.0.1")
    assert guard.token != other.token and guard.token not in repr(guard) and len(guard.token) >= 32
    for path in (f"/{guard.token}", f"/{guard.token}/", f"/{guard.token}?a=1", f"/{guard.token}/x.js?b"):
        assert not _refused(guard, path, Host=OWN) and guard.token not in guard.inner(path), path
    near = guard.token[:-1] + ("a" if guard.token[-1] != "a" else "b")
    for path in ("", "/", "/index.html", f"/{other.token}/", f"/{near}/", f"/{guard.token}x/", f"/x/{guard.token}/",
                 f"/?{guard.token}", guard.token, f"http://{OWN}/{guard.token}/"):  # fmt: skip
        assert _refused(guard, path, Host=OWN), path


def test_a_viser_without_the_hook_is_not_served(model, monkeypatch):
    """A later viser that starts its server in another way must not be served unguarded."""
    import contextlib

    import headfield.view.app as app

    made = []
    real = viser.ViserServer
    monkeypatch.setattr(viser, "ViserServer", lambda **options: made.append(real(**options)) or made[-1])
    monkeypatch.setattr(app, "guarding", lambda guard: contextlib.nullcontext())
    with pytest.raises(ConfigError, match="foreign web pages"):
        Viewer(mean_head(model, "imhead-open-small"), port=0, resolution=64, coarse=32)
    with pytest.raises(ConfigError, match="ConnectionRefused"):  # nothing listens there any more
        check_guarded(Guard.of("127.0.0.1"), "127.0.0.1", made[0].get_port())


def test_plain_text_is_the_text_and_no_markup():
    import html

    marks = "".join(chr(code) for code in range(32, 127))
    text = marks + " Zoë 頭.ply <img src=x onerror=alert(1)> **b** [a](b) www.evil.example {1}"
    assert html.unescape(plain(text)) == text
    assert set(plain(text)) - set("&#;") <= {one for one in text if one.isalnum() or one == " "}
    assert plain("a\x00\n\u202eb") == "ab"  # what turns the reading direction is no name
    for first, second in itertools.product("<&*[`_", repeat=2):
        assert first + second not in plain(f"{first}{second}")


def test_names_in_what_is_told_are_plain(model):
    from headfield.view.app import Viewer as Told

    evil = "<b>x</b>.ply"
    opened = SimpleNamespace(name=evil, model_name=evil, notes=(evil,))
    told = Told.facts(SimpleNamespace(session=SimpleNamespace(opened=opened, fit=None)))
    assert evil not in told and "<b>" not in told and told.count(plain(evil)) == 3
