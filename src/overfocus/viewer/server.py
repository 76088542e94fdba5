"""A window over HTTP, on this machine alone, by the standard library."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Thread
from typing import Any, NamedTuple

from overfocus.core.errors import OverfocusError
from overfocus.viewer.guard import SECURITY, Guard, Refusal, Request
from overfocus.viewer.routes import ROUTES, call
from overfocus.viewer.window import Superseded, Window

log = logging.getLogger(__name__)

API = "/api/"
STATIC = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
"""Path -> file and kind; there are no others."""
PATIENCE = 60
"""Seconds that a connection may say nothing."""


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    kind: str
    content: bytes
    cookie: str = ""


@contextmanager
def serve(window: Window, port: int = 0) -> Iterator[str]:
    """Serve `window` on 127.0.0.1 in threads while the block runs, and give the link that opens it, once.

    port: 0 takes a free one. Raises OverfocusError for one that is taken.
    """
    try:
        server = _Server(("127.0.0.1", port), BaseHTTPRequestHandler)
    except (OSError, OverflowError) as error:
        raise OverfocusError(f"port {port} cannot be had ({error}); give another --port, or none") from error
    guard = Guard(server.server_port)
    server.RequestHandlerClass = handler_of(window, guard)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{guard.port}/?token={guard.token}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    """Connections that a browser keeps open do not hold up the end."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""
        log.debug("connection ended", exc_info=True)


class _Speaker(BaseHTTPRequestHandler):
    """Sends replies, each with the headers of security, and says nothing else."""

    protocol_version, server_version, sys_version, timeout = "HTTP/1.1", "overfocus", "", PATIENCE

    def send(self, reply: Reply) -> None:
        """Send a reply; one that closes the connection says so."""
        self.send_response(reply.status)
        headers = {
            **SECURITY, "Content-Type": f"{reply.kind}; charset=utf-8", "Content-Length": str(len(reply.content)),
            "Set-Cookie": reply.cookie, "Connection": "close" if self.close_connection else "",
        }  # fmt: skip
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, or one of another method, as all else is refused."""
        self.close_connection = True
        self.send(_told(Refusal(code, message or "this is no request")))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet."""


def handler_of(window: Window, guard: Guard) -> type[BaseHTTPRequestHandler]:
    """Return the handler of one window; nothing of it is kept on a class that others share."""

    class Handler(_Speaker):
        def do_GET(self) -> None:
            """Send the page and what belongs to it."""
            self.send(_page(guard, Request("GET", self.path, self.headers)))

        def do_POST(self) -> None:
            """Answer a question of the page."""
            request = Request("POST", self.path, self.headers)
            refused = guard.refuse(request) or _unknown(request.path)
            if refused:
                self.close_connection = True  # its body was not read
                self.send(_told(refused))
            else:
                self.send(_answer(window, request.path, self.rfile.read(int(self.headers["Content-Length"]))))

    return Handler


def _page(guard: Guard, request: Request) -> Reply:
    if refused := guard.refuse_host(request):
        return _told(refused)
    # Not a redirect: a browser that follows a link from another page sends no strict cookie along one.
    cookie = guard.set_cookie() if guard.admits(request) else ""
    if refused := None if cookie else guard.refuse(request):
        return _told(refused)
    if request.path not in STATIC:
        return _told(Refusal(404, f"there is no {request.path[:60]} here"))
    name, kind = STATIC[request.path]
    return Reply(200, kind, (files("overfocus.viewer") / "static" / name).read_bytes(), cookie)


def _unknown(path: str) -> Refusal | None:
    known = path.startswith(API) and path.removeprefix(API) in ROUTES
    return None if known else Refusal(404, f"there is no {path[:60]} here")


def _answer(window: Window, path: str, content: bytes) -> Reply:
    """Return what a route says, or in a sentence why it says nothing."""
    try:
        return _json(200, call(window, path.removeprefix(API), _object(content)))
    except Superseded as error:
        return _json(409, {"error": str(error)})
    except OverfocusError as error:
        return _json(400, {"error": str(error)[:500]})
    except Exception as error:  # whatever the code of others raises
        log.exception("%s", path)
        return _json(500, {"error": f"unforeseen {type(error).__name__}: {error}"[:500]})


def _object(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise OverfocusError(f"this is no JSON ({error})") from None
    if not isinstance(values, dict):
        raise OverfocusError("send a JSON object")
    return values


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _told(refused: Refusal) -> Reply:
    return _json(refused.status, {"error": refused.reason})


def _json(status: int, values: dict[str, Any]) -> Reply:
    return Reply(status, "application/json", json.dumps(values, allow_nan=False).encode())
