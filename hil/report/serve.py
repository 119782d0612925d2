"""A web server for a screen in the lab: the wall, and the page of each run. It reads; nothing can be changed by it.

It answers GET and HEAD for a few fixed paths, to requests that name this machine as their host, so that a page from
elsewhere cannot read it through somebody's browser. What is shown is made at most once a second, whoever asks.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hil
from hil.bench import Where
from hil.errors import HilError, UsageError
from hil.record import History, queries
from hil.report.html import run_page
from hil.report.page import own, rendered
from hil.report.run import run_view
from hil.report.wall import Wall

HOST, PORT = "127.0.0.1", 8090
_REQUESTS = 16
"""Requests that are answered at once; others are turned away."""
_LIMIT = 10.0
"""Seconds for a request to arrive, and for an answer to be taken."""
_FRESH = 1.0
_RUN = re.compile(r"/run/([A-Za-z0-9-]{1,64})\Z")
_CSP = "; ".join(
    [
        "default-src 'none'", "style-src 'self'", "script-src 'self'", "connect-src 'self'", "img-src data:",
        "base-uri 'none'", "form-action 'none'",
    ]
)  # fmt: skip


def address(text: str) -> tuple[str, int]:
    """'HOST:PORT', 'HOST', ':PORT' or '[::1]:PORT'. Raises `UsageError`."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]*)(?::(\d{1,5}))?", text)
    if found is None or int(found[2] or PORT) > 0xFFFF:
        raise UsageError(f"--serve {text}: not HOST:PORT", hint=f"hil report --serve {HOST}:{PORT}")
    return found[1].strip("[]") or HOST, int(found[2] or PORT)


class LabServer(ThreadingHTTPServer):
    """Serves the wall at `url`. `wall` and `page` make what is shown; both are called by one thread at a time."""

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, host: str, port: int, wall: Callable[[], str], page: Callable[[str], str | None]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.BoundedSemaphore(_REQUESTS)
        self._wall, self._page = wall, page
        self._making, self._making_page = threading.Lock(), threading.Lock()
        self._made, self._made_at = "", float("-inf")
        self._names = {host.lower(), "localhost", socket.gethostname().lower(), socket.getfqdn().lower()}
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"cannot serve at {host}:{port}: {error.strerror}", hint="hil report --serve :0"
            ) from error

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes | bytearray) else host
        return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"

    def wall(self) -> str:
        """The wall, a second old at most."""
        with self._making:
            if time.monotonic() - self._made_at > _FRESH:
                self._made, self._made_at = self._wall(), time.monotonic()
            return self._made

    def page(self, run: str) -> str | None:
        """The page of a run; None where there is none of that name."""
        with self._making_page:
            return self._page(run)

    def knows(self, host: str) -> bool:
        """Whether a Host header means this machine: one of its names, or an address, which nobody can make point here.

        A name of somebody else's that was made to point here would let his pages read what is shown.
        """
        found = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::\d{1,5})?", host.lower())
        if found is None:
            return False
        name = found[1].strip("[]").rstrip(".")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)  # closing at once costs nothing
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news; anything else is a fault of ours, and told."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: LabServer
    timeout = _LIMIT
    protocol_version = "HTTP/1.0"  # a connection for each request: none lingers
    server_version = f"hil/{hil.__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, kind, body, policy = self._found()
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def _found(self) -> tuple[HTTPStatus, str, str, str | None]:
        """Status, type, text and policy. Nothing of the request is in the text."""
        if not self.server.knows(self.headers.get("Host", "")):
            return HTTPStatus.MISDIRECTED_REQUEST, "text/plain", "this host is not known here\n", _CSP
        path = self.path.partition("?")[0]
        try:
            if path == "/":
                return HTTPStatus.OK, "text/html", self.server.wall(), _CSP
            if path in _FILES:
                kind, name = _FILES[path]
                return HTTPStatus.OK, kind, own_text(name), _CSP
            if (run := _RUN.match(path)) and (page := self.server.page(run[1])) is not None:
                return HTTPStatus.OK, "text/html", page, None  # it brings its own policy
        except HilError as error:
            return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{error}\n", _CSP
        return HTTPStatus.NOT_FOUND, "text/plain", "nothing is here\n", _CSP

    def send_error(self, code: int, *_: object) -> None:
        """Errors of HTTP without words: the library's page would repeat the request."""
        self.send_response_only(HTTPStatus(code))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Requests are not logged: what they hold is somebody else's text, on our terminal."""


_FILES = {
    "/style.css": ("text/css", "style.css"),
    "/wall.css": ("text/css", "wall.css"),
    "/wall.js": ("text/javascript", "wall.js"),
    "/theme.js": ("text/javascript", "theme.js"),
}


def own_text(name: str) -> str:
    """A file of ours."""
    return str(own(name))


def lab_server(host: str, port: int, history: Path, where: Where) -> LabServer:
    """A server for the history and the lab, not yet serving. Raises `UsageError`."""
    wall = Wall(history, where)

    def page(name: str) -> str | None:
        if not history.exists():
            return None
        with History.open(history) as opened:
            try:
                run = queries.run_named(opened, name)
            except UsageError:
                return None
            return run_page(run_view(opened, run))

    return LabServer(host, port, lambda: rendered("wall.html", view=wall.view(), file=str(history)), page)
