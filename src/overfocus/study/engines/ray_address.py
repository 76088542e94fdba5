"""Whether a Ray cluster can be at an address. Ray itself would try for minutes, and end the process."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

from overfocus.core.errors import OverfocusError

PATIENCE = 15.0
"""Seconds in which an address has to answer."""
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How a client of HTTP/2, which Ray speaks, begins, with settings that change none (RFC 9113, 3.4 and 6.5)."""
LENGTH, SETTINGS = 3, b"\x04"
"""A server begins with a frame of settings: so many bytes of length, and then its kind."""


def reach(address: str) -> None:
    """Raise OverfocusError for "HOST:PORT" or "ray://HOST:PORT" where nothing listens, or nothing like Ray.

    What has no port, such as "local" or an empty address, is not looked at.
    """
    found = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if not found:
        return
    try:
        with socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=PATIENCE) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "1" and not _greets(connection):
                raise OSError("what listens there is something else")
    except (OSError, OverflowError) as error:
        raise OverfocusError(
            f"no Ray cluster at {address} ({error}); give the --address that `ray start` printed"
        ) from None


def _greets(connection: socket.socket) -> bool:
    """Whether the other side speaks HTTP/2."""
    connection.sendall(GREETING)
    heard = b""
    while len(heard) <= LENGTH and (more := connection.recv(LENGTH + 1 - len(heard))):
        heard += more
    return heard[LENGTH:] == SETTINGS


def recorded() -> str:
    """Return the address that `ray start` left for "auto" on this machine; empty where it left none."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    with suppress(OSError):
        return (Path(folder) / "ray" / "ray_current_cluster").read_text().strip()
    return ""
