"""What stands in a setting `host`: where to listen, and how to get there."""

from __future__ import annotations

from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL
from ipaddress import ip_address
from socket import gaierror


def reachable(host: str) -> str:
    """An address to connect to, where one to listen on was given."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def advice(error: OSError, section: str) -> str:
    """What to do about a socket that cannot be had. `section`: of host and port, as the environment
    spells it (`SKADI_WEB`)."""
    if isinstance(error, gaierror) or error.errno == EADDRNOTAVAIL:
        return f"Name an address of this machine with {section}__HOST."
    if error.errno == EADDRINUSE:
        return f"Does another program run there? Choose another port with {section}__PORT."
    if error.errno == EACCES:
        return f"Choose a port that this user may have with {section}__PORT."
    return ""
