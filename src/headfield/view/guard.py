"""Who may talk to the viewer: whoever has the address with its token, from the viewer's own page, and nobody else.

viser serves the page and the websocket from one server and asks no questions: any page that is open in the same browser
may connect to it, and a page of a foreign name that is made to resolve to this machine (DNS rebinding) may read it. So
every request passes :class:`Guard` before viser sees it:

    Host    names this machine: a loopback name, the address that was asked for, and where the viewer listens on all
            addresses, any address in digits (which nobody can rebind) and the machine's own name
    token   is the first part of the path; viser's page derives the websocket's address from its own, so both carry it
    Origin  of a websocket is the page's own; of anything else, if there is one, too

Answers forbid to be put in a frame, to be read by other origins, and to ask anything of any other machine.
"""

from __future__ import annotations

import hmac
import http
import inspect
import ipaddress
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException

from headfield.errors import ConfigError

EVERYWHERE = ("0.0.0.0", "::", "")
"""Addresses that stand for all of this machine's."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names of this machine that no other can take: a tunnel (``ssh -L``) ends at one of them, whatever its port."""

FRAMES = frozenset({"iframe", "frame", "embed", "object"})
"""What browsers say (Sec-Fetch-Dest) when a page is wanted inside another one."""

NO_ACCESS = "Open the whole address that headfield view printed: without its token nothing is served.\n"

_HOST = re.compile(r"(\[(?P<digits>[0-9a-f:.]+)\]|(?P<name>[\w.-]+))(:\d+)?", re.ASCII)

_patching = threading.Lock()


@dataclass(frozen=True)
class Guard:
    """Decides which requests reach the viewer.

    Attributes:
        hosts: Names that a request's Host may have, in lower case and without port; IPv6 without brackets.
        digits: Whether any IP address will do as Host, too.
        token: First part of the path of every request.
    """

    hosts: frozenset[str]
    digits: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @classmethod
    def of(cls, host: str) -> Guard:
        """The guard of a viewer that listens on an address, as ``--host`` gives it; with a new token."""
        if host not in EVERYWHERE:
            return cls(LOOPBACK | {host.lower().strip("[]")})
        name = socket.gethostname().lower()
        return cls(LOOPBACK | {name, f"{name}.local"}, digits=True)

    def refusal(self, path: str, headers) -> str | None:
        """Why a request is refused, None when it is not.

        Args:
            path: Of the request, with its query.
            headers: Has ``get_all(name)``, which lists the values of a header in any spelling.
        """
        host, origin = headers.get_all("Host"), headers.get_all("Origin")
        if len(host) != 1 or not self._is_ours(host[0]):
            return "This Host is not the viewer's.\n"
        if len(origin) > 1 or any(own not in (f"http://{host[0]}", f"https://{host[0]}") for own in origin):
            return "This Origin is not the viewer's.\n"
        if headers.get_all("Upgrade") and not origin:
            return "A websocket without Origin is not the viewer's page.\n"
        if any(wanted in FRAMES for wanted in headers.get_all("Sec-Fetch-Dest")):
            return "The viewer is not shown inside another page.\n"
        if not hmac.compare_digest(_first(path).encode(), self.token.encode()):
            return NO_ACCESS
        return None

    def inner(self, path: str) -> str:
        """A path without its token, as viser knows it."""
        return path.removeprefix(f"/{self.token}") or "/"

    def _is_ours(self, host: str) -> bool:
        split = _HOST.fullmatch(host.lower())
        if split is None:
            return False
        name = split["digits"] or split["name"]
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.digits

    def _promises(self, host: list[str]) -> dict[str, str]:
        """Headers of every answer, given the Host of its request."""
        # not every browser takes 'self' for the websocket of the same host
        own = "".join(f"ws://{one} wss://{one}" for one in host if self._is_ours(one))
        policy = (
            "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:",  # viser's page is one inline script
            f"connect-src 'self' {own} data: blob:",
            "frame-ancestors 'none'", "frame-src 'none'", "object-src 'none'", "base-uri 'none'", "form-action 'none'",
        )  # fmt: skip
        return {
            "Content-Security-Policy": "; ".join(policy),
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",  # the address holds the token
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }

    # ---- in front of a server ----------------------------------------------------------------------------------------

    def before(self, serve):
        """A ``process_request`` of the websockets library that asks the guard first.

        Args:
            serve: The server's own, which is called with what is let through; may be a coroutine function.
        """

        async def process_request(connection, request):
            why = self.refusal(request.path, request.headers)
            if why is not None:
                answer = connection.respond(http.HTTPStatus.FORBIDDEN, why)
            else:
                answer = serve(connection, replace(request, path=self.inner(request.path)))
                answer = await answer if inspect.isawaitable(answer) else answer
            if answer is not None:
                for name, value in self._promises(request.headers.get_all("Host")).items():
                    if name in answer.headers:
                        del answer.headers[name]
                    answer.headers[name] = value
            return answer

        return process_request


@contextmanager
def guarding(guard: Guard) -> Iterator[None]:
    """Put a guard before the viser server that is made in the block.

    viser hands its ``process_request`` to the websockets library and has no place for ours, so the library's ``serve``
    is replaced for as long as the server starts. That depends on how viser is made: see :func:`check_guarded`.
    """
    import websockets.asyncio.server as library

    def guarded(handler, *places, process_request=None, **options):
        if process_request is None:  # nothing of viser's would look at requests: there would be no page either
            raise RuntimeError("viser starts its server in a way that this headfield does not know")
        return serve(handler, *places, process_request=guard.before(process_request), **options)

    with _patching:
        serve, library.serve = library.serve, guarded
        try:
            yield
        finally:
            library.serve = serve


def check_guarded(guard: Guard, host: str, port: int) -> None:
    """Ask a server that has just been started for its page, as a stranger and as a friend.

    Raises:
        ConfigError: The stranger is not refused, or the friend is: this viser takes no guard.
    """
    host = "127.0.0.1" if host in EVERYWHERE else host
    own = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}  # fmt: skip
    tries = (
        ("/", own, {}, http.HTTPStatus.FORBIDDEN),
        (f"/{guard.token}/", "headfield.invalid", {}, http.HTTPStatus.FORBIDDEN),
        (f"/{guard.token}/", own, upgrade | {"Origin": "http://headfield.invalid"}, http.HTTPStatus.FORBIDDEN),
        (f"/{guard.token}/", own, {}, http.HTTPStatus.OK),
    )
    for path, name, headers, wanted in tries:
        seen = _status(host, port, path, {"Host": name} | headers)
        if seen != wanted:
            raise ConfigError(
                f"The viewer was not started: the installed viser answers {seen} where its guard must answer "
                f"{int(wanted)}, so foreign web pages could reach it. Install the viser that headfield was tested "
                "with: pip install 'viser==1.1.1'."
            )


def _status(host: str, port: int, path: str, headers: dict[str, str]) -> int | str:
    connection = HTTPConnection(host, port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except (OSError, HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def _first(path: str) -> str:
    """The first part of a path."""
    return path.partition("?")[0].lstrip("/").partition("/")[0] if path.startswith("/") else ""
