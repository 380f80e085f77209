"""The proxy that leads to a server, where the environment names one."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from .errors import ConfigError

USUAL_PORT = 80


@dataclass(frozen=True)
class Proxy:
    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def proxy_for(host: str, port: int) -> Proxy | None:
    """By https_proxy and no_proxy, which the installer's urllib reads too."""
    named = getproxies_environment()
    if not named.get("https") or proxy_bypass(f"{host}:{port}"):
        return None
    url = named["https"]
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        headers = credentials(parts.username, parts.password)
        found = Proxy(parts.hostname or "", parts.port or USUAL_PORT, headers)
    except ValueError:
        found = Proxy("", 0)
    if not found.host:
        # It may have a password in it.
        raise ConfigError("https_proxy: write it as http://host:port")
    return found


def credentials(name: str | None, password: str | None) -> dict[str, str]:
    if name is None:
        return {}
    pair = f"{unquote(name)}:{unquote(password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
