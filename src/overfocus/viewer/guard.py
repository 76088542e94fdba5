"""Who may ask: a page of this window, in this browser, on this machine, with a body of JSON that is not too long.

A server on 127.0.0.1 can be reached by every page that the browser shows and by every user of the machine. So a link
with a token that works once opens the page and leaves a cookie; requests need that cookie (`SameSite=Strict`, named
with the port, since cookies do not know ports), a `Host` of this machine (a name of a stranger that was bound to
127.0.0.1 is none), and, as browsers say it, come from the same origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from secrets import token_urlsafe
from threading import Lock
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

LONGEST = 30 * 2**20
"""Bytes of a request's body: a dropped file in base64."""
OWN_SITES = ("same-origin", "none")
"""What `Sec-Fetch-Site` says of a page's own requests, and of an address that a person typed."""
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every answer."""


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    reason: str
    """One sentence."""


class Request(NamedTuple):
    """What a guard reads of a request."""

    method: str
    target: str
    """The path, with a query."""
    headers: Message | Mapping[str, str]
    """By name; those of `http.server`, in any case."""

    @property
    def path(self) -> str:
        """The path alone."""
        return urlsplit(self.target).path


class Guard:
    """Lets in who holds the token, once, and then who holds the cookie."""

    def __init__(self, port: int) -> None:
        self.port, self.token = port, token_urlsafe(24)
        self.cookie = f"overfocus-{port}"
        self._secret, self._used, self._lock = token_urlsafe(24), False, Lock()

    def set_cookie(self) -> str:
        """Return the header that leaves the cookie."""
        return f"{self.cookie}={self._secret}; HttpOnly; SameSite=Strict; Path=/"

    def admits(self, request: Request) -> bool:
        """Whether the request opens the page with the token, which then is used up."""
        given = parse_qs(urlsplit(request.target).query).get("token", [""])[0]
        with self._lock:
            right = request.method == "GET" and request.path == "/" and not self._used
            admitted = right and compare_digest(given.encode(), self.token.encode())
            self._used |= admitted
        return admitted

    def refuse(self, request: Request) -> Refusal | None:
        """Return why the request is not answered; None where it is. A body is not read before."""
        refused = self._stranger(request)
        if refused or request.method == "GET":
            return refused
        return _unfit(request.headers)

    def refuse_host(self, request: Request) -> Refusal | None:
        """Return why the host that was asked for is not this one."""
        if request.headers.get("Host", "") in (f"127.0.0.1:{self.port}", f"localhost:{self.port}"):
            return None
        return Refusal(403, f"this is http://127.0.0.1:{self.port} and nothing else")

    def _stranger(self, request: Request) -> Refusal | None:
        if refused := self.refuse_host(request):
            return refused
        origin = request.headers.get("Origin", "")
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site not in OWN_SITES or origin not in ("", f"http://{request.headers.get('Host', '')}"):
            return Refusal(403, "the request comes from another page")
        if not compare_digest(self._held(request).encode(), self._secret.encode()):
            return Refusal(403, "this link was used or is not of this window; run `overfocus open` again")
        return None

    def _held(self, request: Request) -> str:
        try:
            held = SimpleCookie(request.headers.get("Cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return held.value if held else ""


def _unfit(headers: Message | Mapping[str, str]) -> Refusal | None:
    """Return why a body is not read."""
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        return Refusal(415, "send application/json")
    length = headers.get("Content-Length", "")
    if "Transfer-Encoding" in headers or not (length.isascii() and length.isdigit()):
        return Refusal(411, "say the length of the body")
    if len(length) > 12 or int(length) > LONGEST:
        return Refusal(413, f"the body has more than {LONGEST >> 20} MiB; drop a smaller file")
    return None
